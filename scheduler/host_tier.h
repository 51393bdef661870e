// The ledger of an instance's host tier: memory beside the KV pool that keeps the KV of preempted
// sequences, so that they need not be computed again. Who copies the bytes is engine/runner's
// business.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "engine/core/batch.h"
#include "engine/core/ids.h"

namespace tandem {

// Blocks of the host tier by state; they add up to its size.
struct HostBlockCounts {
  int free = 0;
  int swapped = 0;  // hold the KV of a sequence that waits to go on
};

// Owned by one thread.
class HostTier {
 public:
  // All of `num_blocks` blocks, at least 0, start free; each holds what a block of the pool does.
  explicit HostTier(int num_blocks);

  // Keeps what `blocks` of the pool hold: appends as many host blocks to `host_table`, and their
  // copies to `copies`. False, and nothing has changed, when too few are free.
  [[nodiscard]] bool SwapOut(absl::Span<const BlockId> blocks, std::vector<BlockId>* host_table,
                             std::vector<BlockCopy>* copies);

  // Appends to `copies` those that bring the last blocks of `host_table` back to `blocks`, as many
  // as these are, and frees all of it. Copies are done in order, so that a later one may write to
  // what is free now.
  void SwapIn(absl::Span<const BlockId> blocks, std::vector<BlockId>* host_table,
              std::vector<BlockCopy>* copies);

  // What `host_table` holds is not wanted any more.
  void Free(std::vector<BlockId>* host_table);

  // INTERNAL when the counts do not add up to the tier, or not to the free list. O(1).
  absl::Status CheckLedger() const;

  int num_blocks() const { return num_blocks_; }
  const HostBlockCounts& counts() const { return counts_; }

 private:
  const int num_blocks_;
  HostBlockCounts counts_;
  std::vector<BlockId> free_;  // the last is taken next: it was used lately
};

}  // namespace tandem
