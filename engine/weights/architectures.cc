#include "engine/weights/architectures.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "engine/weights/file_errors.h"

namespace tandem {
namespace {

constexpr TensorNames kGgufNames = {
    .embedding = "token_embd.weight",
    .final_norm = "output_norm.weight",
    .head = "output.weight",
    .attention_norm = "blk.$0.attn_norm.weight",
    .q = "blk.$0.attn_q.weight",
    .k = "blk.$0.attn_k.weight",
    .v = "blk.$0.attn_v.weight",
    .o = "blk.$0.attn_output.weight",
    .q_bias = "blk.$0.attn_q.bias",
    .k_bias = "blk.$0.attn_k.bias",
    .v_bias = "blk.$0.attn_v.bias",
    .q_norm = "blk.$0.attn_q_norm.weight",
    .k_norm = "blk.$0.attn_k_norm.weight",
    .post_attention_norm = "blk.$0.post_attention_norm.weight",
    .mlp_norm = "blk.$0.ffn_norm.weight",
    .gate = "blk.$0.ffn_gate.weight",
    .up = "blk.$0.ffn_up.weight",
    .down = "blk.$0.ffn_down.weight",
    .post_mlp_norm = "blk.$0.post_ffw_norm.weight",
};

constexpr TensorNames kHfNames = {
    .embedding = "embed_tokens.weight",
    .final_norm = "norm.weight",
    .head = "lm_head.weight",
    .attention_norm = "layers.$0.input_layernorm.weight",
    .q = "layers.$0.self_attn.q_proj.weight",
    .k = "layers.$0.self_attn.k_proj.weight",
    .v = "layers.$0.self_attn.v_proj.weight",
    .o = "layers.$0.self_attn.o_proj.weight",
    .q_bias = "layers.$0.self_attn.q_proj.bias",
    .k_bias = "layers.$0.self_attn.k_proj.bias",
    .v_bias = "layers.$0.self_attn.v_proj.bias",
    .q_norm = "layers.$0.self_attn.q_norm.weight",
    .k_norm = "layers.$0.self_attn.k_norm.weight",
    .post_attention_norm = "",
    .mlp_norm = "layers.$0.post_attention_layernorm.weight",
    .gate = "layers.$0.mlp.gate_proj.weight",
    .up = "layers.$0.mlp.up_proj.weight",
    .down = "layers.$0.mlp.down_proj.weight",
    .post_mlp_norm = "",
};

// Gemma has a norm behind attention too, so "post_attention" means another one than in Llama.
constexpr TensorNames kHfGemmaNames = [] {
  TensorNames names = kHfNames;
  names.post_attention_norm = "layers.$0.post_attention_layernorm.weight";
  names.mlp_norm = "layers.$0.pre_feedforward_layernorm.weight";
  names.post_mlp_norm = "layers.$0.post_feedforward_layernorm.weight";
  return names;
}();

constexpr Architecture kArchitectures[] = {
    {
        .name = "llama",
        .gguf_name = "llama",
        .hf_model_type = "llama",
        .hf_class = "LlamaForCausalLM",
        .gguf_window = WindowRule::kAll,  // of Mistral
        .gguf_rope_pairs = RopePairs::kNeighbours,
        .hf_names = &kHfNames,
        .hf_defaults = R"({"max_position_embeddings": 2048, "rms_norm_eps": 1e-6})",
    },
    {
        .name = "mistral",  // GGUF files of it call themselves llama
        .hf_model_type = "mistral",
        .hf_class = "MistralForCausalLM",
        .hf_window = WindowRule::kAll,
        .hf_names = &kHfNames,
        .hf_defaults = R"({"max_position_embeddings": 131072, "rms_norm_eps": 1e-6,
                           "num_key_value_heads": 8, "sliding_window": 4096})",
    },
    {
        .name = "qwen2",
        .gguf_name = "qwen2",
        .hf_model_type = "qwen2",
        .hf_class = "Qwen2ForCausalLM",
        .qkv_bias = true,
        .hf_window = WindowRule::kOptIn,
        .hf_names = &kHfNames,
        .hf_defaults = R"({"max_position_embeddings": 32768, "rms_norm_eps": 1e-6,
                           "num_key_value_heads": 32, "sliding_window": 4096,
                           "max_window_layers": 28})",
    },
    {
        .name = "qwen3",
        .gguf_name = "qwen3",
        .hf_model_type = "qwen3",
        .hf_class = "Qwen3ForCausalLM",
        .qk_norm = QkNorm::kPerHead,
        .hf_window = WindowRule::kOptIn,
        .hf_names = &kHfNames,
        .hf_defaults = R"({"max_position_embeddings": 32768, "rms_norm_eps": 1e-6,
                           "num_key_value_heads": 32, "head_dim": 128, "sliding_window": 4096,
                           "max_window_layers": 28})",
    },
    {
        .name = "gemma3",
        .gguf_name = "gemma3",
        .hf_model_type = "gemma3_text",
        .hf_class = "Gemma3ForCausalLM",
        .activation = Activation::kGeluTanh,
        .qk_norm = QkNorm::kPerHead,
        .post_norms = true,
        .scaled_embedding = true,
        .hf_window = WindowRule::kPattern,
        .gguf_window = WindowRule::kPattern,
        .window_pattern = 6,
        .gguf_local_rope_base = 10000,
        .gguf_width_scaled_layers = 62,
        .hf_names = &kHfGemmaNames,
        .hf_norm_offset = 1,
        // Google's own configs leave out what the class gives.
        .hf_defaults = R"({"vocab_size": 262208, "hidden_size": 2304, "intermediate_size": 9216,
                           "num_hidden_layers": 26, "num_attention_heads": 8,
                           "num_key_value_heads": 4, "head_dim": 256, "rms_norm_eps": 1e-6,
                           "hidden_activation": "gelu_pytorch_tanh",
                           "max_position_embeddings": 131072, "query_pre_attn_scalar": 256,
                           "sliding_window": 4096, "tie_word_embeddings": true,
                           "rope_theta": 1000000.0, "rope_local_base_freq": 10000.0})",
    },
};

// Multimodal wrappers whose text_config is one of the above; their class names end differently.
constexpr absl::string_view kHfWrappers[][2] = {{"gemma3", "gemma3_text"}};

constexpr HfPrefix kHfPrefixes[] = {
    {"model.", ""},
    {"model.language_model.", ""},
    {"language_model.model.", "language_model."},
    {"", ""},
};

constexpr absl::string_view kIgnoredParts[] = {
    ".rotary_emb.inv_freq",  // saved by old transformers
    ".attn_rot_embd.",       // the same in old GGUF files
    "rope_freqs.weight",     // part of the configuration
    "vision_tower.",         // Gemma 3 with images
    "multi_modal_projector.",
};

absl::Status UnknownArchitecture(absl::string_view file, absl::string_view name) {
  std::vector<absl::string_view> names;
  for (const Architecture& architecture : kArchitectures) names.push_back(architecture.name);
  return Unsupported(file, "architecture ", Quoted(name),
                     " is not supported (supported: ", absl::StrJoin(names, ", "), ")");
}

}  // namespace

const TensorNames& GgufTensorNames() { return kGgufNames; }
absl::Span<const HfPrefix> HfPrefixes() { return kHfPrefixes; }

absl::StatusOr<const Architecture*> FindGgufArchitecture(absl::string_view file,
                                                         absl::string_view name) {
  for (const Architecture& architecture : kArchitectures) {
    if (!name.empty() && architecture.gguf_name == name) return &architecture;
  }
  return UnknownArchitecture(file, name);
}

absl::StatusOr<const Architecture*> FindHfArchitecture(absl::string_view file,
                                                       absl::string_view model_type,
                                                       absl::string_view class_name) {
  absl::string_view text_type = model_type;
  for (const auto& [wrapper, text] : kHfWrappers) {
    if (model_type == wrapper) text_type = text;
  }
  for (const Architecture& architecture : kArchitectures) {
    if (text_type.empty() ? architecture.hf_class == class_name
                          : architecture.hf_model_type == text_type) {
      return &architecture;
    }
  }
  return UnknownArchitecture(file, model_type.empty() ? class_name : model_type);
}

bool IsIgnoredTensor(absl::string_view name) {
  return std::any_of(std::begin(kIgnoredParts), std::end(kIgnoredParts),
                     [name](absl::string_view part) { return absl::StrContains(name, part); });
}

}  // namespace tandem
