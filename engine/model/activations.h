// The buffers that Forward() computes in, allocated once for the largest step.
#pragma once

#include <algorithm>
#include <cstdint>

#include "engine/core/model_config.h"
#include "engine/tensor/tensor.h"

namespace tandem {

struct Activations {
  // Rows of logits that exist at once. A row is vocab_size floats, so the 512 prompt positions of a
  // chunk would take 100 MB at 49,152 entries; and with more rows the head is compute-bound anyway,
  // so that reading it again for the next 64 costs little.
  static constexpr int kMaxLogitRows = 64;

  Activations(const ModelConfig& config, int max_rows)
      : hidden(int64_t{max_rows} * config.hidden_size),
        block(int64_t{max_rows} * config.hidden_size),
        q(int64_t{max_rows} * config.num_heads * config.head_dim),
        k(int64_t{max_rows} * config.num_kv_heads * config.head_dim),
        v(int64_t{max_rows} * config.num_kv_heads * config.head_dim),
        attention(int64_t{max_rows} * config.num_heads * config.head_dim),
        gate(int64_t{max_rows} * config.intermediate_size),
        up(int64_t{max_rows} * config.intermediate_size),
        max_logit_rows(std::min(max_rows, kMaxLogitRows)),
        logits(int64_t{max_logit_rows} * config.vocab_size) {}

  AlignedBuffer<float> hidden;  // [max_rows, hidden_size] the residual stream
  AlignedBuffer<float> block;   // [max_rows, hidden_size] what goes into a block, then its result
  AlignedBuffer<float> q;       // [max_rows, num_heads, head_dim]
  AlignedBuffer<float> k;       // [max_rows, num_kv_heads, head_dim]
  AlignedBuffer<float> v;       // [max_rows, num_kv_heads, head_dim]
  AlignedBuffer<float> attention;  // [max_rows, num_heads, head_dim]
  AlignedBuffer<float> gate;       // [max_rows, intermediate_size]
  AlignedBuffer<float> up;         // [max_rows, intermediate_size]
  int max_logit_rows;
  AlignedBuffer<float> logits;  // [max_logit_rows, vocab_size]
};

}  // namespace tandem
