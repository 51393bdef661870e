#include "engine/weights/config_rules.h"

#include <algorithm>
#include <cmath>

#include "engine/core/status_macros.h"
#include "engine/weights/file_errors.h"

namespace tandem {
namespace {

// Limits far above any model, so that products of three sizes fit into 63 bits and tables made per
// layer or position stay allocatable.
constexpr int kMaxLayers = 10'000;
constexpr int kMaxHeads = 1 << 14;
constexpr int kMaxHeadDim = 1 << 14;
constexpr int kMaxWidth = 1 << 24;
constexpr int kMaxPosition = 1 << 24;

absl::Status CheckSize(absl::string_view file, absl::string_view field, int value, int max) {
  if (value >= 1 && value <= max) return absl::OkStatus();
  return Malformed(file, field, " is ", value, ", expected 1 to ", max);
}

// Written so that NaN fails.
absl::Status CheckPositive(absl::string_view file, absl::string_view field, double value) {
  if (value > 0 && std::isfinite(value)) return absl::OkStatus();
  return Malformed(file, field, " is ", value, ", expected a positive number");
}

absl::Status CheckRope(absl::string_view file, const ModelConfig& config) {
  const RopeConfig& rope = config.rope;
  RETURN_IF_ERROR(CheckPositive(file, "rope base", rope.base));
  if (rope.local_base != 0)
    RETURN_IF_ERROR(CheckPositive(file, "local rope base", rope.local_base));
  RETURN_IF_ERROR(CheckPositive(file, "rope scaling factor", rope.factor));
  if (rope.rotary_dim < 0 || rope.rotary_dim > config.head_dim || rope.rotary_dim % 2 != 0) {
    return Malformed(file, "rotary dimension ", rope.rotary_dim,
                     " is not an even number up to head_dim ", config.head_dim);
  }
  if (rope.scaling == RopeScaling::kLlama3 || rope.scaling == RopeScaling::kYarn) {
    RETURN_IF_ERROR(CheckPositive(file, "rope original_max_position_embeddings",
                                  static_cast<double>(rope.original_max_position)));
  }
  if (rope.scaling == RopeScaling::kLlama3) {
    RETURN_IF_ERROR(CheckPositive(file, "rope low_freq_factor", rope.low_freq_factor));
    if (!(rope.high_freq_factor > rope.low_freq_factor) || !std::isfinite(rope.high_freq_factor)) {
      return Malformed(file, "rope high_freq_factor ", rope.high_freq_factor,
                       " is not above low_freq_factor ", rope.low_freq_factor);
    }
  }
  if (rope.scaling == RopeScaling::kYarn) {
    RETURN_IF_ERROR(CheckPositive(file, "rope beta_fast", rope.beta_fast));
    RETURN_IF_ERROR(CheckPositive(file, "rope beta_slow", rope.beta_slow));
    if (!(rope.attention_factor >= 0) || !std::isfinite(rope.attention_factor)) {
      return Malformed(file, "rope attention_factor is ", rope.attention_factor);
    }
  }
  for (float factor : rope.freq_factors) {
    RETURN_IF_ERROR(CheckPositive(file, "rope frequency factor", factor));
  }
  return absl::OkStatus();
}

}  // namespace

std::vector<bool> SlidingLayers(int pattern, int num_layers) {
  std::vector<bool> slides(num_layers, true);
  for (int i = 0; pattern > 0 && i < num_layers; ++i) slides[i] = (i + 1) % pattern != 0;
  return slides;
}

float EmbeddingScale(int hidden_size, DType trained_in) {
  const double exact = std::sqrt(static_cast<double>(hidden_size));
  if (trained_in == DType::kF32) return static_cast<float>(exact);
  const int significant_bits = trained_in == DType::kF16 ? 11 : 8;
  int exponent = 0;
  const double fraction = std::frexp(exact, &exponent);  // exact == fraction * 2^exponent
  const double rounded = std::nearbyint(std::ldexp(fraction, significant_bits));
  return static_cast<float>(std::ldexp(rounded, exponent - significant_bits));
}

void SimplifyWindow(ModelConfig* config) {
  const std::vector<bool>& slides = config->is_sliding;
  const bool any = slides.empty() || std::find(slides.begin(), slides.end(), true) != slides.end();
  const bool all = std::find(slides.begin(), slides.end(), false) == slides.end();
  if (!any) config->sliding_window = 0;
  if (config->sliding_window == 0 || all) config->is_sliding.clear();
}

absl::Status CheckSizes(absl::string_view file, const ModelConfig& config) {
  RETURN_IF_ERROR(CheckSize(file, "vocab_size", config.vocab_size, kMaxWidth));
  RETURN_IF_ERROR(CheckSize(file, "hidden_size", config.hidden_size, kMaxWidth));
  RETURN_IF_ERROR(CheckSize(file, "intermediate_size", config.intermediate_size, kMaxWidth));
  RETURN_IF_ERROR(CheckSize(file, "num_layers", config.num_layers, kMaxLayers));
  RETURN_IF_ERROR(CheckSize(file, "num_heads", config.num_heads, kMaxHeads));
  RETURN_IF_ERROR(CheckSize(file, "num_kv_heads", config.num_kv_heads, kMaxHeads));
  RETURN_IF_ERROR(CheckSize(file, "head_dim", config.head_dim, kMaxHeadDim));
  RETURN_IF_ERROR(CheckSize(file, "max_position", config.max_position, kMaxPosition));
  if (config.num_heads % config.num_kv_heads != 0) {
    return Malformed(file, "num_heads ", config.num_heads, " is not a multiple of num_kv_heads ",
                     config.num_kv_heads);
  }
  if (config.head_dim % 2 != 0) return Malformed(file, "head_dim ", config.head_dim, " is odd");
  return absl::OkStatus();
}

absl::Status CheckConfig(absl::string_view file, const ModelConfig& config) {
  RETURN_IF_ERROR(CheckSizes(file, config));
  RETURN_IF_ERROR(CheckRope(file, config));
  if (!(config.norm_epsilon >= 0 && config.norm_epsilon < 1)) {
    return Malformed(file, "norm epsilon is ", config.norm_epsilon, ", expected 0 to 1");
  }
  if (!(config.attention_scale >= 0) || !std::isfinite(config.attention_scale)) {
    return Malformed(file, "attention scale is ", config.attention_scale);
  }
  if (!(config.final_logit_softcap >= 0) || !std::isfinite(config.final_logit_softcap)) {
    return Malformed(file, "final logit softcap is ", config.final_logit_softcap);
  }
  if (config.sliding_window < 0) {
    return Malformed(file, "sliding window is ", config.sliding_window);
  }
  return absl::OkStatus();
}

}  // namespace tandem
