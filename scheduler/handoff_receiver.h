// The decode worker's side of a KV handoff: requests whose KV another worker computes, from the
// announcement over the reservation of blocks to its arrival, or to the end of a transfer given up.
#pragma once

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "scheduler/block_manager.h"
#include "scheduler/sequence.h"

namespace tandem {

// Holds pointers to sequences in kExpected, kBegun and kReceiving. Nothing is held for a request
// before its prefill has begun, so that a queue at the prefill worker costs no memory here. Owned
// by the InstanceScheduler.
class HandoffReceiver {
 public:
  explicit HandoffReceiver(BlockManager* blocks) : blocks_(*blocks) {}

  void Expect(Sequence* sequence);

  // kExpected -> kBegun: it now waits for blocks.
  void Begin(Sequence* sequence);

  // The next that waits for blocks, or null.
  Sequence* NextBegun() const { return begun_.empty() ? nullptr : *begun_.begin(); }

  // kBegun -> kReceiving with `num_blocks` blocks, among them those that hold a known prefix of
  // `shareable`, the sequence's first tokens; false when too few are available.
  bool Reserve(Sequence* sequence, int num_blocks, absl::Span<const TokenId> shareable);

  // All KV has arrived: kReceiving -> out of here, with running blocks. INTERNAL: the ledger is
  // broken, the blocks were left as they are.
  absl::Status Complete(Sequence* sequence);

  // Takes out a sequence in any of the three states. Blocks into which KV may still be written are
  // quarantined until Fence. INTERNAL as above.
  absl::Status Remove(Sequence* sequence);

  // No write of this attempt is in flight any more: frees what Remove quarantined, if anything.
  absl::Status Fence(RequestId id, uint32_t attempt);

  // True between a Remove that quarantined blocks and its Fence.
  bool IsQuarantined(RequestId id, uint32_t attempt) const {
    return quarantined_.contains({id, attempt});
  }

  int num_expected() const { return static_cast<int>(expected_.size() + begun_.size()); }
  int num_receiving() const { return static_cast<int>(receiving_.size()); }

 private:
  BlockManager& blocks_;
  absl::flat_hash_set<const Sequence*> expected_;
  SequenceQueue begun_;
  absl::flat_hash_set<const Sequence*> receiving_;
  std::map<std::pair<RequestId, uint32_t>, std::vector<BlockId>> quarantined_;
};

}  // namespace tandem
