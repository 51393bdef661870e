// Whether a sequence that loses its blocks is better copied to the host tier and back or computed
// again.
#pragma once

#include "absl/time/time.h"
#include "engine/core/batch.h"

namespace tandem {

// Learns what a token of prefill takes from the steps that were committed. Owned by one thread.
class SwapCost {
 public:
  // `block_copy_time`: of the KV of one block between pool and host tier, one way. Of `depth`
  // batches in flight each takes as long as all of them together.
  SwapCost(absl::Duration block_copy_time, int depth)
      : block_copy_time_(block_copy_time), depth_(depth) {}

  // `batch` was in flight for `duration`. Steps that copied, or decoded more than they prefilled,
  // tell nothing.
  void Observe(const Batch& batch, absl::Duration duration);

  // To copy so many blocks, out and in together, takes no longer than to compute so many tokens.
  // True where no prefill has been seen: copying reads and writes memory, which computing also
  // does.
  bool PrefersCopies(int num_copies, int num_tokens) const;

 private:
  const absl::Duration block_copy_time_;
  const int depth_;
  absl::Duration token_time_ = absl::InfiniteDuration();  // until one is known
};

}  // namespace tandem
