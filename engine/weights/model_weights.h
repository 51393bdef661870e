// The tensors of a model under our own names, as views into the mapped file: what Forward() reads.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/core/metadata.h"
#include "engine/core/model_config.h"
#include "engine/tensor/tensor.h"
#include "engine/weights/mapped_file.h"

namespace tandem {

// Norm weights and biases are small and always float32. An absent tensor is an empty vector or
// view. Gemma's "weight + 1" norms are stored with the 1 added, whichever file they come from.
struct LayerWeights {
  std::vector<float> attention_norm;  // [hidden_size]
  MatrixView q, k, v;  // [num_heads * head_dim, hidden], [num_kv_heads * head_dim, hidden] x 2
  std::vector<float> q_bias, k_bias, v_bias;
  std::vector<float> q_norm, k_norm;       // [head_dim], or the full width (QkNorm::kFullWidth)
  MatrixView o;                            // [hidden, num_heads * head_dim]
  std::vector<float> post_attention_norm;  // [hidden], post_norms only: on attention's output

  std::vector<float> mlp_norm;       // [hidden]
  MatrixView gate, up;               // [intermediate, hidden]
  MatrixView down;                   // [hidden, intermediate]
  std::vector<float> post_mlp_norm;  // [hidden], post_norms only
};

struct ModelWeights {
  MatrixView embedding;  // [vocab, hidden]
  std::vector<LayerWeights> layers;
  std::vector<float> final_norm;  // [hidden]
  MatrixView head;                // [vocab, hidden]; the embedding where tied
};

// Source texts that the tokenizer is built from: either GGUF metadata, or the files of a Hugging
// Face folder (empty where absent).
struct TokenizerSource {
  Metadata gguf;
  std::string tokenizer_json;
  std::string tokenizer_config_json;
  std::string chat_template;  // of chat_template.jinja or chat_template.json
  // Token ids that begin and end text: generation_config.json, or config.json where there is none
  // (it has the same keys, and transformers falls back to it too).
  std::string generation_config_json;
};

// A model file or folder, opened: configuration, weights and the memory maps they point into.
struct Model {
  ModelConfig config;
  ModelWeights weights;
  uint64_t content_hash = 0;  // of configuration and tensor directory: two workers must agree on it
  std::vector<std::shared_ptr<const MappedFile>> files;
  std::vector<std::shared_ptr<const void>> storage;  // of tensors that are not in the files
};

// Opens a GGUF file (v2, v3) or a Hugging Face folder (config.json + safetensors, single or
// sharded). Tensors are checked (presence, shape, type, bounds) and stay where they are mapped, so
// it takes milliseconds; pages come in when kernels first read them. The file must not be truncated
// while the model lives. Errors are one line that names file, tensor and reason: NOT_FOUND,
// PERMISSION_DENIED, INVALID_ARGUMENT (malformed), UNIMPLEMENTED (an architecture or type that is
// not supported, with the supported ones).
absl::StatusOr<std::unique_ptr<Model>> LoadModel(const std::string& path);

// Only the configuration / only what the tokenizer needs: no weights are read. Same errors.
absl::StatusOr<ModelConfig> LoadModelConfig(const std::string& path);
absl::StatusOr<TokenizerSource> LoadTokenizerSource(const std::string& path);

}  // namespace tandem
