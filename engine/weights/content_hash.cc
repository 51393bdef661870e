#include "engine/weights/content_hash.h"

#include <algorithm>
#include <bit>
#include <type_traits>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace tandem {
namespace {

// Fowler-Noll-Vo, http://www.isthe.com/chongo/tech/comp/fnv/. Variable-length parts are preceded by
// their length, so that neighbours cannot trade bytes.
class Fnv1a {
 public:
  void AddBytes(absl::Span<const uint8_t> bytes) {
    for (uint8_t byte : bytes) hash_ = (hash_ ^ byte) * 0x100000001b3u;
  }
  template <typename T>
  void Add(T value) {
    if constexpr (std::is_floating_point_v<T>) {
      Add(std::bit_cast<uint64_t>(static_cast<double>(value)));
    } else {
      for (int shift = 0; shift < 64; shift += 8) {
        hash_ = (hash_ ^ (static_cast<uint64_t>(value) >> shift & 0xff)) * 0x100000001b3u;
      }
    }
  }
  void AddString(absl::string_view text) {
    Add(text.size());
    AddBytes({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  }
  template <typename... T>
  void AddAll(T... values) {
    (Add(values), ...);
  }
  uint64_t hash() const { return hash_; }

 private:
  uint64_t hash_ = 0xcbf29ce484222325u;
};

void AddRope(const RopeConfig& rope, Fnv1a* hash) {
  hash->AddAll(rope.pairs, rope.base, rope.local_base, rope.rotary_dim, rope.scaling, rope.factor,
               rope.low_freq_factor, rope.high_freq_factor, rope.original_max_position,
               rope.beta_fast, rope.beta_slow, rope.attention_factor, rope.freq_factors.size());
  for (float factor : rope.freq_factors) hash->Add(factor);
}

void AddConfig(const ModelConfig& config, Fnv1a* hash) {
  hash->AddString(config.architecture);
  hash->AddAll(config.vocab_size, config.hidden_size, config.intermediate_size, config.num_layers,
               config.num_heads, config.num_kv_heads, config.head_dim, config.max_position);
  hash->AddAll(config.norm_epsilon, config.activation, config.qk_norm, config.qkv_bias,
               config.post_norms, config.tied_embeddings, config.embedding_scale,
               config.AttentionScale(), config.final_logit_softcap);
  AddRope(config.rope, hash);
  for (int i = 0; i < config.num_layers; ++i) hash->Add(config.LayerSlides(i));
  hash->AddAll(config.sliding_window, config.moe.num_experts, config.moe.num_experts_per_token,
               config.moe.intermediate_size);
}

void AddTensor(absl::string_view name, const StoredTensor& tensor, Fnv1a* hash) {
  hash->AddString(name);
  hash->AddString(tensor.type_name);
  hash->Add(tensor.shape.size());
  for (int64_t dim : tensor.shape) hash->Add(dim);
  const absl::Span<const uint8_t> data(tensor.data, tensor.bytes);
  const size_t sample = std::min<size_t>(data.size(), 64);
  hash->AddBytes(data.first(sample));
  hash->AddBytes(data.last(sample));
}

}  // namespace

uint64_t ContentHash(const ModelConfig& config, const TensorDirectory& tensors) {
  Fnv1a hash;
  AddConfig(config, &hash);
  for (const auto& [name, tensor] : tensors) AddTensor(name, tensor, &hash);
  return hash.hash();
}

}  // namespace tandem
