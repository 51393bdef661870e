// What a sequence holds of the KV pool and of the host tier, from its start over preemptions to its
// end.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "engine/core/batch.h"
#include "scheduler/block_manager.h"
#include "scheduler/host_tier.h"
#include "scheduler/instance_options.h"
#include "scheduler/sequence.h"
#include "scheduler/swap_cost.h"

namespace tandem {

// Owned by the InstanceScheduler. Blocks that are received are the HandoffReceiver's until they
// have arrived.
class SequenceBlocks {
 public:
  // Both outlive it.
  SequenceBlocks(const InstanceOptions& options, BlockManager* blocks);

  // Blocks for all of its tokens and one to grow into, which delays the first preemption; never
  // more than its longest form needs. What is handed off grows elsewhere.
  int NumToStart(const Sequence& sequence) const;

  // Its first tokens, whose KV may be taken from blocks of others: at most `num_tokens`.
  absl::Span<const TokenId> Shareable(const Sequence& sequence, int num_tokens) const;

  // Gives a waiting sequence all that it needs to start: known blocks of its prefix, then those
  // that were swapped out, then free ones; num_computed_tokens says how far its KV is there. False,
  // and nothing has changed, when too few are available.
  bool Take(Sequence* sequence);

  // Full blocks of computed positions can be found by others from now on.
  void Publish(Sequence* sequence);

  // A preempted sequence loses its running blocks. Where that is cheaper than to compute it again,
  // and there is room, its KV is kept in the host tier: host_table then names the blocks. Else
  // num_computed_tokens is 0. INTERNAL, which means that the ledger is broken: its blocks are left
  // as they are.
  absl::Status Preempt(Sequence* sequence);

  // It has ended. INTERNAL as above.
  absl::Status Free(Sequence* sequence);

  // See SwapCost.
  void ObserveStep(const Batch& batch, absl::Duration duration) { cost_.Observe(batch, duration); }

  // Copies that Preempt and Take have asked for since they were last taken, in their order.
  std::vector<BlockCopy> TakeCopies();

  const HostTier& host() const { return host_; }
  // INTERNAL: one of the ledgers is broken.
  absl::Status CheckLedgers() const;

 private:
  bool SwapOut(Sequence* sequence);
  absl::Status FreeFromPool(Sequence* sequence);

  const InstanceOptions& options_;
  BlockManager& blocks_;
  HostTier host_;
  SwapCost cost_;
  std::vector<BlockCopy> copies_;
};

}  // namespace tandem
