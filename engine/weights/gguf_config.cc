#include "engine/weights/gguf_config.h"

#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <string>

#include "absl/strings/substitute.h"
#include "engine/core/status_macros.h"
#include "engine/weights/config_rules.h"
#include "engine/weights/file_errors.h"

namespace tandem {
namespace {

// Reads keys of one architecture, such as "llama.block_count", strictly: a key of the wrong type
// is an error, not a default.
class KeyReader {
 public:
  KeyReader(const GgufFile& file, const Architecture& architecture)
      : file_(file), prefix_(absl::StrCat(architecture.gguf_name, ".")) {}

  const std::string& path() const { return file_.path(); }
  std::string Key(absl::string_view name) const { return absl::StrCat(prefix_, name); }
  bool Has(absl::string_view name) const { return file_.metadata().Has(Key(name)); }

  absl::StatusOr<int> Int(absl::string_view name) const {
    absl::StatusOr<int64_t> value = file_.metadata().GetInt(Key(name));
    if (!value.ok()) return Malformed(path(), value.status().message());
    if (*value < 0 || *value > std::numeric_limits<int>::max()) {
      return Malformed(path(), "metadata key ", Key(name), " is ", *value);
    }
    return static_cast<int>(*value);
  }
  absl::StatusOr<int> IntOr(absl::string_view name, int fallback) const {
    if (!Has(name)) return fallback;
    return Int(name);
  }
  absl::StatusOr<double> Float(absl::string_view name) const {
    absl::StatusOr<double> value = file_.metadata().GetFloat(Key(name));
    if (!value.ok()) return Malformed(path(), value.status().message());
    if (!std::isfinite(*value)) {
      return Malformed(path(), "metadata key ", Key(name), " is ", *value);
    }
    return value;
  }
  absl::StatusOr<double> FloatOr(absl::string_view name, double fallback) const {
    if (!Has(name)) return fallback;
    return Float(name);
  }
  absl::StatusOr<std::string> StringOr(absl::string_view name, absl::string_view fallback) const {
    if (!Has(name)) return std::string(fallback);
    absl::StatusOr<std::string> value = file_.metadata().GetString(Key(name));
    if (!value.ok()) return Malformed(path(), value.status().message());
    return value;
  }

 private:
  const GgufFile& file_;
  const std::string prefix_;
};

absl::Status ReadSizes(const KeyReader& keys, ModelConfig* config) {
  ASSIGN_OR_RETURN(config->num_layers, keys.Int("block_count"));
  ASSIGN_OR_RETURN(config->hidden_size, keys.Int("embedding_length"));
  ASSIGN_OR_RETURN(config->intermediate_size, keys.Int("feed_forward_length"));
  ASSIGN_OR_RETURN(config->max_position, keys.Int("context_length"));
  ASSIGN_OR_RETURN(config->num_heads, keys.Int("attention.head_count"));
  ASSIGN_OR_RETURN(config->num_kv_heads, keys.IntOr("attention.head_count_kv", config->num_heads));
  if (keys.Has("attention.key_length")) {
    ASSIGN_OR_RETURN(config->head_dim, keys.Int("attention.key_length"));
    ASSIGN_OR_RETURN(const int value_dim, keys.IntOr("attention.value_length", config->head_dim));
    if (value_dim != config->head_dim) {
      return Unsupported(keys.path(), "keys of ", config->head_dim, " and values of ", value_dim,
                         " elements a head are not supported");
    }
  } else {
    if (config->num_heads == 0 || config->hidden_size % config->num_heads != 0) {
      return Malformed(keys.path(), keys.Key("attention.head_count"), " ", config->num_heads,
                       " does not divide ", keys.Key("embedding_length"), " ", config->hidden_size);
    }
    config->head_dim = config->hidden_size / config->num_heads;
  }
  return CheckSizes(keys.path(), *config);
}

absl::Status ReadRopeScaling(const KeyReader& keys, int max_position, RopeConfig* rope) {
  // Files from before rope.scaling.type say only a factor, which is linear.
  ASSIGN_OR_RETURN(const double old_factor, keys.FloatOr("rope.scale_linear", 0));
  ASSIGN_OR_RETURN(const double factor, keys.FloatOr("rope.scaling.factor", old_factor));
  ASSIGN_OR_RETURN(const std::string type, keys.StringOr("rope.scaling.type", "linear"));
  if (type == "none" || (type == "linear" && factor == 0)) return absl::OkStatus();
  rope->factor = factor;
  if (type == "linear") {
    rope->scaling = RopeScaling::kLinear;
    return absl::OkStatus();
  }
  if (type != "yarn") {
    return Unsupported(keys.path(), "rope scaling ", Quoted(type),
                       " is not supported (supported: none, linear, yarn)");
  }
  rope->scaling = RopeScaling::kYarn;
  ASSIGN_OR_RETURN(rope->original_max_position,
                   keys.IntOr("rope.scaling.original_context_length", max_position));
  ASSIGN_OR_RETURN(rope->beta_fast, keys.FloatOr("rope.scaling.yarn_beta_fast", rope->beta_fast));
  ASSIGN_OR_RETURN(rope->beta_slow, keys.FloatOr("rope.scaling.yarn_beta_slow", rope->beta_slow));
  // GGUF's factor multiplies YaRN's own; ours replaces it.
  ASSIGN_OR_RETURN(const double extra, keys.FloatOr("rope.scaling.attn_factor", 1.0));
  if (extra != 1.0) rope->attention_factor = extra * (0.1 * std::log(std::max(factor, 1.0)) + 1.0);
  return absl::OkStatus();
}

// Llama 3's scaling comes as a tensor of divisors.
absl::Status ReadFrequencyFactors(const GgufFile& file, int rotary_dim, RopeConfig* rope) {
  constexpr absl::string_view kName = "rope_freqs.weight";
  const auto found = file.tensors().find(kName);
  if (found == file.tensors().end()) return absl::OkStatus();
  const StoredTensor& tensor = found->second;
  const std::vector<int64_t> expected = {rotary_dim / 2};
  if (tensor.dtype != DType::kF32 || tensor.shape != expected) {
    return Malformed(file.path(), "tensor ", Quoted(kName), ": expected F32 ",
                     ShapeString(expected), ", found ", tensor.type_name, " ",
                     ShapeString(tensor.shape));
  }
  rope->freq_factors.resize(rotary_dim / 2);
  std::memcpy(rope->freq_factors.data(), tensor.data, tensor.bytes);
  return absl::OkStatus();
}

absl::Status ReadRope(const GgufFile& file, const KeyReader& keys, const Architecture& architecture,
                      ModelConfig* config) {
  RopeConfig& rope = config->rope;
  rope.pairs = architecture.gguf_rope_pairs;
  ASSIGN_OR_RETURN(rope.base, keys.FloatOr("rope.freq_base", rope.base));
  ASSIGN_OR_RETURN(rope.local_base,
                   keys.FloatOr("rope.freq_base_swa", architecture.gguf_local_rope_base));
  ASSIGN_OR_RETURN(const int rotary_dim, keys.IntOr("rope.dimension_count", config->head_dim));
  if (rotary_dim != config->head_dim) rope.rotary_dim = rotary_dim;
  RETURN_IF_ERROR(ReadRopeScaling(keys, config->max_position, &rope));
  return ReadFrequencyFactors(file, rotary_dim, &rope);
}

absl::Status ReadWindow(const GgufFile& file, const KeyReader& keys,
                        const Architecture& architecture, ModelConfig* config) {
  if (architecture.gguf_window == WindowRule::kNone) return absl::OkStatus();
  ASSIGN_OR_RETURN(config->sliding_window, keys.IntOr("attention.sliding_window", 0));
  constexpr absl::string_view kPattern = "attention.sliding_window_pattern";
  if (const auto* slides = file.metadata().FindBools(keys.Key(kPattern))) {
    if (slides->size() != static_cast<size_t>(config->num_layers)) {
      return Malformed(file.path(), "metadata key ", keys.Key(kPattern), " has ", slides->size(),
                       " entries for ", config->num_layers, " layers");
    }
    config->is_sliding = *slides;
  } else {
    ASSIGN_OR_RETURN(const int pattern, keys.IntOr(kPattern, architecture.window_pattern));
    config->is_sliding = SlidingLayers(pattern, config->num_layers);
  }
  SimplifyWindow(config);
  return absl::OkStatus();
}

// Quantised and 16-bit files alike are made of models trained in bfloat16.
float ReadEmbeddingScale(const GgufFile& file, const Architecture& architecture, int hidden_size) {
  if (!architecture.scaled_embedding) return 1.0f;
  const StoredTensor& table = file.tensors().find(GgufTensorNames().embedding)->second;
  return EmbeddingScale(hidden_size, table.dtype == DType::kF32 ? DType::kF32 : DType::kBF16);
}

// What the tensor directory says by what it holds.
absl::Status ReadFromTensors(const GgufFile& file, const Architecture& architecture,
                             ModelConfig* config) {
  const TensorNames& names = GgufTensorNames();
  const auto embedding = file.tensors().find(names.embedding);
  if (embedding == file.tensors().end()) {
    return Malformed(file.path(), "tensor ", Quoted(names.embedding), " is missing");
  }
  const StoredTensor& table = embedding->second;
  if (table.shape.size() != 2 || table.shape[0] > std::numeric_limits<int>::max()) {
    return Malformed(file.path(), "tensor ", Quoted(names.embedding), ": shape ",
                     ShapeString(table.shape), " is not a vocabulary of embeddings");
  }
  config->vocab_size = static_cast<int>(table.shape[0]);
  const uint64_t num_tokens = file.ArraySize("tokenizer.ggml.tokens");
  if (num_tokens > static_cast<uint64_t>(config->vocab_size)) {
    return Malformed(file.path(), "the tokenizer has ", num_tokens, " tokens, tensor ",
                     Quoted(names.embedding), " only ", config->vocab_size, " rows");
  }
  config->tied_embeddings = file.tensors().find(names.head) == file.tensors().end();
  config->qkv_bias =
      architecture.qkv_bias || file.tensors().count(absl::Substitute(names.q_bias, 0)) > 0;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ModelConfig> ReadGgufConfig(const GgufFile& file) {
  absl::StatusOr<std::string> name = file.metadata().GetString("general.architecture");
  if (!name.ok()) return Malformed(file.path(), name.status().message());
  if (const int64_t parts = file.metadata().GetIntOr("split.count", 1); parts > 1) {
    return Unsupported(file.path(), "one of ", parts,
                       " parts of a split model; join them with llama-gguf-split --merge");
  }
  ASSIGN_OR_RETURN(const Architecture* architecture, FindGgufArchitecture(file.path(), *name));
  const KeyReader keys(file, *architecture);
  ASSIGN_OR_RETURN(const int num_experts, keys.IntOr("expert_count", 0));
  if (num_experts > 0) {
    return Unsupported(file.path(), "architecture ", Quoted(*name), " with a mixture of ",
                       num_experts, " experts is not supported yet");
  }

  ModelConfig config;
  config.name = std::filesystem::path(file.path()).stem().string();
  config.architecture = std::string(architecture->name);
  config.activation = architecture->activation;
  config.qk_norm = architecture->qk_norm;
  config.post_norms = architecture->post_norms;
  RETURN_IF_ERROR(ReadFromTensors(file, *architecture, &config));
  RETURN_IF_ERROR(ReadSizes(keys, &config));
  config.embedding_scale = ReadEmbeddingScale(file, *architecture, config.hidden_size);
  RETURN_IF_ERROR(ReadRope(file, keys, *architecture, &config));
  RETURN_IF_ERROR(ReadWindow(file, keys, *architecture, &config));
  ASSIGN_OR_RETURN(config.norm_epsilon, keys.Float("attention.layer_norm_rms_epsilon"));
  ASSIGN_OR_RETURN(config.attention_scale, keys.FloatOr("attention.scale", 0));
  if (config.attention_scale == 0 && config.num_layers == architecture->gguf_width_scaled_layers) {
    config.attention_scale =
        1.0f / std::sqrt(static_cast<float>(config.hidden_size) / config.num_heads);
  }
  ASSIGN_OR_RETURN(config.final_logit_softcap, keys.FloatOr("final_logit_softcapping", 0));
  RETURN_IF_ERROR(CheckConfig(file.path(), config));
  return config;
}

}  // namespace tandem
