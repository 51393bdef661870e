// How large the KV pool of an instance is, and which sequences fit it.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "engine/core/kv_layout.h"

namespace tandem {

struct KvPoolRequest {
  int64_t kv_cache_bytes = 0;  // 0: chosen, see below
  int max_model_len = 0;       // tokens of one sequence; 0: as many as the model and the pool take
  int context_len = 0;         // tokens that the model was trained for
  int64_t swap_bytes = 0;      // for preempted sequences; 0: none, below 0: chosen, see below
  int64_t memory_bytes = 0;    // of the machine; only read for what is to be chosen
};

struct KvPoolPlan {
  int num_blocks = 0;
  int num_host_blocks = 0;  // of the same size
  int max_model_len = 0;    // tokens; one such sequence fits the pool
};

// Rounds kv_cache_bytes down to whole blocks. Without it the pool holds four of the longest
// sequences, at least 16,384 tokens, and at most a quarter of the machine's memory. The host tier
// is as large as the pool where its size is left open, but at most 4 GiB and an eighth of memory.
// INVALID_ARGUMENT when max_model_len exceeds the model's context, or the pool holds no sequence of
// it (or no block), or the host tier no block; the message says how many bytes would do.
absl::StatusOr<KvPoolPlan> PlanKvPool(const KvLayout& layout, const KvPoolRequest& request);

// Physical memory of this machine.
int64_t MachineMemoryBytes();

}  // namespace tandem
