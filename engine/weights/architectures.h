// The supported architectures as data: what a file does not say about itself, and under which
// names its tensors stand. A new dense architecture is a new row here.
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "engine/core/model_config.h"

namespace tandem {

// Names of one file format's tensors; "$0" stands for the number of the layer. Hugging Face names
// lack the prefix of the decoder ("model.").
struct TensorNames {
  absl::string_view embedding, final_norm, head;
  absl::string_view attention_norm;
  absl::string_view q, k, v, o;
  absl::string_view q_bias, k_bias, v_bias;
  absl::string_view q_norm, k_norm;
  absl::string_view post_attention_norm;
  absl::string_view mlp_norm;
  absl::string_view gate, up, down;
  absl::string_view post_mlp_norm;
};

// Which layers see only a window of tokens.
enum class WindowRule {
  kNone,     // none, whatever the file says
  kAll,      // all of them, where the file gives a window
  kOptIn,    // those from max_window_layers on, where use_sliding_window is set (Qwen)
  kPattern,  // all but every n-th (Gemma 3)
};

struct Architecture {
  absl::string_view name;            // ModelConfig::architecture
  absl::string_view gguf_name = "";  // general.architecture; empty: written under another's name
  absl::string_view hf_model_type;   // config.json: model_type, also of a text_config
  absl::string_view hf_class;        // config.json: architectures[0]

  Activation activation = Activation::kSilu;
  QkNorm qk_norm = QkNorm::kNone;
  bool qkv_bias = false;
  bool post_norms = false;
  bool scaled_embedding = false;  // by sqrt(hidden_size)
  WindowRule hf_window = WindowRule::kNone;
  WindowRule gguf_window = WindowRule::kNone;
  int window_pattern = 0;  // kPattern: every n-th layer sees all, unless the file differs

  RopePairs gguf_rope_pairs = RopePairs::kHalves;
  double gguf_local_rope_base = 0;  // of windowed layers, which a GGUF file may leave unsaid
  // Gemma 3 27B scales attention by hidden_size / num_heads instead of head_dim. GGUF does not say
  // so; like llama.cpp we know the model by its number of layers. 0: no such model.
  int gguf_width_scaled_layers = 0;

  const TensorNames* hf_names = nullptr;
  float hf_norm_offset = 0;  // what Hugging Face's norm weights leave out
  // Values that config.json may leave out: the defaults of the class in transformers 5.19.
  absl::string_view hf_defaults;
};

// UNIMPLEMENTED names `file`, what it asks for, and the supported architectures.
absl::StatusOr<const Architecture*> FindGgufArchitecture(absl::string_view file,
                                                         absl::string_view name);
// By model_type, or by class name where `model_type` is empty.
absl::StatusOr<const Architecture*> FindHfArchitecture(absl::string_view file,
                                                       absl::string_view model_type,
                                                       absl::string_view class_name);

// GGUF names tensors alike in all of them.
const TensorNames& GgufTensorNames();

// Where Hugging Face checkpoints keep the decoder: names start with `decoder`, the head's with
// `head`. Multimodal checkpoints nest it, and old and new transformers differ.
struct HfPrefix {
  absl::string_view decoder;
  absl::string_view head;
};
absl::Span<const HfPrefix> HfPrefixes();

// True for tensors that may be there but do not take part: tables that we compute ourselves, the
// vision side of a multimodal checkpoint.
bool IsIgnoredTensor(absl::string_view name);

}  // namespace tandem
