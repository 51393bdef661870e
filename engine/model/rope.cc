#include "engine/model/rope.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"

namespace tandem {
namespace {

constexpr double kPi = 3.14159265358979323846;

absl::Status Refuse(absl::string_view field, absl::string_view rule, double value) {
  return absl::InvalidArgumentError(
      absl::StrCat("rope ", field, " must be ", rule, ", got ", value));
}

int RotaryDim(const RopeConfig& config, int head_dim) {
  return config.rotary_dim > 0 ? config.rotary_dim : head_dim;
}

// Written so that NaN fails as well.
absl::Status Check(const RopeConfig& config, int head_dim) {
  const int rotary_dim = RotaryDim(config, head_dim);
  if (rotary_dim % 2 != 0 || rotary_dim > head_dim) {
    return Refuse("rotary_dim", absl::StrCat("even and at most the head's ", head_dim), rotary_dim);
  }
  if (!(config.base > 1)) return Refuse("base", "above 1", config.base);
  if (!(config.local_base == 0 || config.local_base > 1)) {
    return Refuse("local_base", "0 or above 1", config.local_base);
  }
  if (!config.freq_factors.empty() &&
      static_cast<int>(config.freq_factors.size()) != rotary_dim / 2) {
    return Refuse("freq_factors", absl::StrCat("a list of ", rotary_dim / 2),
                  config.freq_factors.size());
  }
  for (float factor : config.freq_factors) {
    if (!(factor > 0)) return Refuse("freq_factors", "above 0", factor);
  }
  if (config.scaling == RopeScaling::kNone) return absl::OkStatus();
  if (!(config.factor > 0)) return Refuse("factor", "above 0", config.factor);
  if (config.scaling == RopeScaling::kLinear) return absl::OkStatus();
  if (config.original_max_position <= 0) {
    return Refuse("original_max_position", "above 0", config.original_max_position);
  }
  if (config.scaling == RopeScaling::kLlama3 &&
      !(config.low_freq_factor > 0 && config.high_freq_factor > config.low_freq_factor)) {
    return Refuse("high_freq_factor",
                  absl::StrCat("above low_freq_factor ", config.low_freq_factor, " above 0"),
                  config.high_freq_factor);
  }
  if (config.scaling == RopeScaling::kYarn && !(config.beta_slow > 0 && config.beta_fast > 0)) {
    return Refuse("beta_slow and beta_fast", "above 0",
                  std::min(config.beta_slow, config.beta_fast));
  }
  return absl::OkStatus();
}

std::vector<double> Unscaled(double base, int rotary_dim) {
  std::vector<double> frequencies(rotary_dim / 2);
  for (int i = 0; i < rotary_dim / 2; ++i) {
    frequencies[i] = std::pow(base, -2.0 * i / rotary_dim);
  }
  return frequencies;
}

// Llama 3.1: wavelengths beyond the trained context are stretched by `factor`, short ones are kept,
// those between are blended.
void ScaleLlama3(const RopeConfig& config, std::vector<double>& frequencies) {
  for (double& frequency : frequencies) {
    // Turns within the trained context.
    const double turns = config.original_max_position * frequency / (2 * kPi);
    const double kept = std::clamp(
        (turns - config.low_freq_factor) / (config.high_freq_factor - config.low_freq_factor), 0.0,
        1.0);
    frequency *= kept + (1 - kept) / config.factor;
  }
}

// YaRN (Peng et al., 2023, arXiv:2309.00071), section 3.2, "NTK-by-parts": pairs that turn more
// than beta_fast times within the trained context are kept, those below beta_slow are stretched,
// with a ramp over the pair's index between.
void ScaleYarn(const RopeConfig& config, int rotary_dim, std::vector<double>& frequencies) {
  const auto pair_with_turns = [&](double turns) {
    return rotary_dim * std::log(config.original_max_position / (turns * 2 * kPi)) /
           (2 * std::log(config.base));
  };
  const double low = std::max(std::floor(pair_with_turns(config.beta_fast)), 0.0);
  double high = std::min(std::ceil(pair_with_turns(config.beta_slow)), rotary_dim - 1.0);
  if (high == low) high += 0.001;  // as in the authors' code: a step instead of a division by 0
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const double stretched = std::clamp((i - low) / (high - low), 0.0, 1.0);
    frequencies[i] *= 1 - stretched + stretched / config.factor;
  }
}

float YarnAttentionFactor(const RopeConfig& config) {
  if (config.attention_factor > 0) return static_cast<float>(config.attention_factor);
  return config.factor <= 1 ? 1.0f : static_cast<float>(0.1 * std::log(config.factor) + 1);
}

RopeTable MakeTable(const RopeFrequencies& frequencies, RopePairs pairs, int num_positions) {
  const size_t num_pairs = frequencies.radians_per_position.size();
  RopeTable table;
  table.cos = AlignedBuffer<float>(num_positions * num_pairs);
  table.sin = AlignedBuffer<float>(num_positions * num_pairs);
  table.rotary_dim = static_cast<int>(2 * num_pairs);
  table.pairs = pairs;
  for (int position = 0; position < num_positions; ++position) {
    for (size_t i = 0; i < num_pairs; ++i) {
      const float angle = static_cast<float>(position) * frequencies.radians_per_position[i];
      table.cos[position * num_pairs + i] = std::cos(angle) * frequencies.attention_factor;
      table.sin[position * num_pairs + i] = std::sin(angle) * frequencies.attention_factor;
    }
  }
  return table;
}

}  // namespace

absl::StatusOr<RopeFrequencies> MakeRopeFrequencies(const RopeConfig& config, int head_dim) {
  RETURN_IF_ERROR(Check(config, head_dim));
  const int rotary_dim = RotaryDim(config, head_dim);
  std::vector<double> frequencies = Unscaled(config.base, rotary_dim);
  RopeFrequencies result;
  switch (config.scaling) {
    case RopeScaling::kNone:
      break;
    case RopeScaling::kLinear:
      for (double& frequency : frequencies) frequency /= config.factor;
      break;
    case RopeScaling::kLlama3:
      ScaleLlama3(config, frequencies);
      break;
    case RopeScaling::kYarn:
      ScaleYarn(config, rotary_dim, frequencies);
      result.attention_factor = YarnAttentionFactor(config);
      break;
  }
  for (size_t i = 0; i < config.freq_factors.size(); ++i) frequencies[i] /= config.freq_factors[i];
  result.radians_per_position.assign(frequencies.begin(), frequencies.end());
  return result;
}

absl::StatusOr<RopeTables> MakeRopeTables(const RopeConfig& config, int head_dim,
                                          int num_positions) {
  ASSIGN_OR_RETURN(const RopeFrequencies full, MakeRopeFrequencies(config, head_dim));
  RopeTables tables;
  tables.full = MakeTable(full, config.pairs, num_positions);
  if (config.local_base > 0) {
    RopeConfig local;
    local.base = config.local_base;
    local.rotary_dim = config.rotary_dim;
    ASSIGN_OR_RETURN(const RopeFrequencies frequencies, MakeRopeFrequencies(local, head_dim));
    tables.local = MakeTable(frequencies, config.pairs, num_positions);
  }
  return tables;
}

}  // namespace tandem
