#include "engine/weights/content_hash.h"

#include <algorithm>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "engine/weights/fnv1a.h"

namespace tandem {
namespace {

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
