#include "engine/weights/hf_config.h"

#include <cmath>
#include <filesystem>
#include <limits>

#include "engine/core/status_macros.h"
#include "engine/weights/config_rules.h"
#include "engine/weights/file_errors.h"
#include "engine/weights/hf_rope.h"
#include "engine/weights/json_object.h"

namespace tandem {
namespace {

using nlohmann::json;

// Switches that change the computation in a way Forward() does not know; each must be off.
constexpr absl::string_view kUnsupportedSwitches[] = {
    "quantization_config",          // GPTQ, AWQ, FP8, ...: other tensors under the same names
    "attn_logit_softcapping",       // Gemma 2
    "use_bidirectional_attention",  // EmbeddingGemma
    "attention_bias",               // biases q, k, v and the output projection
    "mlp_bias",
};

// Some number of any of these makes a mixture of experts.
constexpr absl::string_view kExpertCounts[] = {"num_local_experts", "num_experts",
                                               "n_routed_experts"};

absl::StatusOr<int> Size(const JsonObject& object, absl::string_view key) {
  ASSIGN_OR_RETURN(const int64_t value, object.Int(key));
  if (value < 0 || value > std::numeric_limits<int>::max()) {
    return Malformed(object.file(), Quoted(key), " is ", value);
  }
  return static_cast<int>(value);
}

absl::StatusOr<int> SizeOr(const JsonObject& object, absl::string_view key, int fallback) {
  if (!object.Has(key)) return fallback;
  return Size(object, key);
}

// Class defaults, then the outer object, then its text_config.
absl::StatusOr<JsonObject> MergeLevels(const JsonObject& file, const Architecture& architecture) {
  json merged = json::parse(architecture.hf_defaults);
  merged.update(file.object());
  ASSIGN_OR_RETURN(const JsonObject text, file.Object("text_config"));
  merged.update(text.object());
  return JsonObject(file.file(), std::move(merged));
}

absl::StatusOr<const Architecture*> FindArchitecture(const JsonObject& file) {
  ASSIGN_OR_RETURN(const std::string model_type, file.StringOr("model_type", ""));
  std::string class_name;
  if (const json* classes = file.Find("architectures");
      classes != nullptr && classes->is_array() && !classes->empty() && (*classes)[0].is_string()) {
    class_name = (*classes)[0].get<std::string>();
  }
  return FindHfArchitecture(file.file(), model_type, class_name);
}

absl::Status CheckSupported(const JsonObject& object) {
  for (absl::string_view key : kUnsupportedSwitches) {
    const json* value = object.Find(key);
    if (value != nullptr && *value != json(false) && *value != json(0)) {
      return Unsupported(object.file(), Quoted(key), " is not supported");
    }
  }
  for (absl::string_view key : kExpertCounts) {
    ASSIGN_OR_RETURN(const int64_t num_experts, object.IntOr(key, 0));
    if (num_experts > 0) {
      return Unsupported(object.file(), "a mixture of ", num_experts,
                         " experts is not supported yet");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Activation> ReadActivation(const JsonObject& object) {
  ASSIGN_OR_RETURN(const std::string fallback, object.StringOr("hidden_act", "silu"));
  ASSIGN_OR_RETURN(const std::string name, object.StringOr("hidden_activation", fallback));
  if (name == "silu" || name == "swish") return Activation::kSilu;
  if (name == "gelu_pytorch_tanh") return Activation::kGeluTanh;
  return Unsupported(object.file(), "activation ", Quoted(name),
                     " is not supported (supported: silu, gelu_pytorch_tanh)");
}

absl::Status ReadSizes(const JsonObject& object, ModelConfig* config) {
  ASSIGN_OR_RETURN(config->vocab_size, Size(object, "vocab_size"));
  ASSIGN_OR_RETURN(config->hidden_size, Size(object, "hidden_size"));
  ASSIGN_OR_RETURN(config->intermediate_size, Size(object, "intermediate_size"));
  ASSIGN_OR_RETURN(config->num_layers, Size(object, "num_hidden_layers"));
  ASSIGN_OR_RETURN(config->num_heads, Size(object, "num_attention_heads"));
  ASSIGN_OR_RETURN(config->num_kv_heads, SizeOr(object, "num_key_value_heads", config->num_heads));
  ASSIGN_OR_RETURN(config->max_position, Size(object, "max_position_embeddings"));
  ASSIGN_OR_RETURN(config->head_dim, SizeOr(object, "head_dim", 0));
  if (!object.Has("head_dim")) {
    if (config->num_heads == 0 || config->hidden_size % config->num_heads != 0) {
      return Malformed(object.file(), "\"num_attention_heads\" ", config->num_heads,
                       " does not divide \"hidden_size\" ", config->hidden_size);
    }
    config->head_dim = config->hidden_size / config->num_heads;
  }
  return CheckSizes(object.file(), *config);
}

absl::StatusOr<std::vector<bool>> ReadLayerTypes(const JsonObject& object, int num_layers) {
  const json& types = *object.Find("layer_types");
  if (!types.is_array() || types.size() != static_cast<size_t>(num_layers)) {
    return Malformed(object.file(), "\"layer_types\" is not a list of ", num_layers, " strings");
  }
  std::vector<bool> slides;
  for (const json& type : types) {
    if (type != "sliding_attention" && type != "full_attention") {
      return Unsupported(object.file(), "layer type ",
                         type.is_string() ? Quoted(type.get<std::string>()) : "of another kind",
                         " is not supported (supported: full_attention, sliding_attention)");
    }
    slides.push_back(type == "sliding_attention");
  }
  return slides;
}

absl::Status ReadWindow(const JsonObject& object, const Architecture& architecture,
                        ModelConfig* config) {
  ASSIGN_OR_RETURN(const bool opted_in, object.BoolOr("use_sliding_window", false));
  if (architecture.hf_window == WindowRule::kNone) return absl::OkStatus();
  if (architecture.hf_window == WindowRule::kOptIn && !opted_in) return absl::OkStatus();
  ASSIGN_OR_RETURN(config->sliding_window, SizeOr(object, "sliding_window", 0));
  if (object.Has("layer_types")) {
    ASSIGN_OR_RETURN(config->is_sliding, ReadLayerTypes(object, config->num_layers));
  } else if (architecture.hf_window == WindowRule::kOptIn) {
    ASSIGN_OR_RETURN(const int first, Size(object, "max_window_layers"));
    for (int i = 0; i < config->num_layers; ++i) config->is_sliding.push_back(i >= first);
  } else {
    ASSIGN_OR_RETURN(const int pattern,
                     SizeOr(object, "sliding_window_pattern", architecture.window_pattern));
    config->is_sliding = SlidingLayers(pattern, config->num_layers);
  }
  SimplifyWindow(config);
  return absl::OkStatus();
}

absl::StatusOr<float> ReadAttentionScale(const JsonObject& object) {
  if (!object.Has("query_pre_attn_scalar")) return 0.0f;
  ASSIGN_OR_RETURN(const double scalar, object.Float("query_pre_attn_scalar"));
  if (!(scalar > 0)) return Malformed(object.file(), "\"query_pre_attn_scalar\" is ", scalar);
  return static_cast<float>(1.0 / std::sqrt(scalar));
}

// Of the folder, even where it is given as "." or with a slash behind it.
std::string FolderName(const std::string& folder) {
  std::error_code error;
  const auto path = std::filesystem::absolute(folder, error).lexically_normal();
  return (path.has_filename() ? path : path.parent_path()).filename().string();
}

}  // namespace

absl::StatusOr<HfConfig> ReadHfConfig(const std::string& folder) {
  ASSIGN_OR_RETURN(const JsonObject file, ReadJsonObject(folder + "/config.json"));
  HfConfig result;
  ASSIGN_OR_RETURN(result.architecture, FindArchitecture(file));
  const Architecture& architecture = *result.architecture;
  ASSIGN_OR_RETURN(const JsonObject object, MergeLevels(file, architecture));
  RETURN_IF_ERROR(CheckSupported(object));

  ModelConfig& config = result.config;
  config.name = FolderName(folder);
  config.architecture = std::string(architecture.name);
  config.qk_norm = architecture.qk_norm;
  config.qkv_bias = architecture.qkv_bias;
  config.post_norms = architecture.post_norms;
  RETURN_IF_ERROR(ReadSizes(object, &config));
  ASSIGN_OR_RETURN(config.activation, ReadActivation(object));
  ASSIGN_OR_RETURN(config.norm_epsilon, object.Float("rms_norm_eps"));
  ASSIGN_OR_RETURN(config.tied_embeddings, object.BoolOr("tie_word_embeddings", false));
  ASSIGN_OR_RETURN(config.attention_scale, ReadAttentionScale(object));
  ASSIGN_OR_RETURN(config.final_logit_softcap, object.FloatOr("final_logit_softcapping", 0));
  if (architecture.scaled_embedding) {
    ASSIGN_OR_RETURN(const std::string old_name, object.StringOr("torch_dtype", "float32"));
    ASSIGN_OR_RETURN(const std::string dtype_name, object.StringOr("dtype", old_name));
    absl::StatusOr<DType> dtype = ParseDType(dtype_name);
    if (!dtype.ok()) return Annotate(dtype.status(), object.file());
    config.embedding_scale = EmbeddingScale(config.hidden_size, *dtype);
  }
  ASSIGN_OR_RETURN(config.rope, ReadHfRope(object, config.head_dim, config.max_position));
  RETURN_IF_ERROR(ReadWindow(object, architecture, &config));
  RETURN_IF_ERROR(CheckConfig(object.file(), config));
  return result;
}

}  // namespace tandem
