// What a decoder-only transformer is made of, as plain data: one Forward() reads it, every
// architecture is a set of values. Filled by engine/weights from GGUF metadata or a Hugging Face
// config.json.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tandem {

enum class Activation { kSilu, kGeluTanh };

// Where RMS norms of q and k stand: nowhere, over each head, or over all heads at once.
enum class QkNorm { kNone, kPerHead, kFullWidth };

// Which two elements of a head rotate together: (i, i + head_dim/2) as Hugging Face stores them, or
// (2i, 2i + 1) as GGUF files of the "llama" architecture are permuted.
enum class RopePairs { kHalves, kNeighbours };

enum class RopeScaling { kNone, kLinear, kLlama3, kYarn };

struct RopeConfig {
  RopePairs pairs = RopePairs::kHalves;
  double base = 10000.0;
  double local_base = 0.0;  // base of sliding-window layers where it differs (Gemma 3); 0: same
  int rotary_dim = 0;       // leading elements of a head that rotate; 0: all

  // Of all layers, or of full-attention layers only where local_base is set.
  RopeScaling scaling = RopeScaling::kNone;
  double factor = 1.0;
  double low_freq_factor = 1.0;   // Llama 3
  double high_freq_factor = 4.0;  // Llama 3
  int64_t original_max_position = 0;
  double beta_fast = 32.0;        // YaRN
  double beta_slow = 1.0;         // YaRN
  double attention_factor = 0.0;  // YaRN; 0: 0.1 * ln(factor) + 1
  std::vector<float>
      freq_factors;  // [rotary_dim / 2] divisors of the frequencies (GGUF rope_freqs); or empty
};

// Mixture of experts; num_experts 0 is a dense model.
struct MoeConfig {
  int num_experts = 0;
  int num_experts_per_token = 0;
  int intermediate_size = 0;
};

struct ModelConfig {
  std::string name;          // of the file, without .gguf, or of the folder
  std::string architecture;  // "llama", "qwen2", "qwen3", "gemma3", ...

  int vocab_size = 0;
  int hidden_size = 0;
  int intermediate_size = 0;
  int num_layers = 0;
  int num_heads = 0;
  int num_kv_heads = 0;
  int head_dim = 0;
  int max_position = 0;  // context length the model was trained for, in tokens

  float norm_epsilon = 1e-5f;
  Activation activation = Activation::kSilu;
  QkNorm qk_norm = QkNorm::kNone;
  bool qkv_bias = false;
  bool post_norms = false;        // Gemma 3: norms after attention and after the MLP as well
  bool tied_embeddings = false;   // the output head is the embedding table
  float embedding_scale = 1.0f;   // Gemma: sqrt(hidden_size)
  float attention_scale = 0.0f;   // multiplies q.k; 0: 1 / sqrt(head_dim)
  float final_logit_softcap = 0;  // 0: none

  RopeConfig rope;
  int sliding_window = 0;        // tokens a windowed layer sees, itself included; 0: no window
  std::vector<bool> is_sliding;  // [num_layers]; empty: all layers slide if sliding_window > 0
  MoeConfig moe;

  bool LayerSlides(int layer) const {
    return sliding_window > 0 && (is_sliding.empty() || is_sliding[layer]);
  }
  float AttentionScale() const;
};

}  // namespace tandem
