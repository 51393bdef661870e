// The ledger of an instance's KV memory: every block of the pool is in exactly one state, each
// state is counted, and the counts add up to the pool. Which bytes a block has is engine/kv's
// business.
#pragma once

#include <array>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "engine/core/ids.h"

namespace tandem {

enum class BlockState : uint8_t {
  kFree,
  kRunning,      // a sequence on this instance computes with it
  kCached,       // nobody computes with it, its content can be found again
  kLeasedOut,    // a prefilled prompt that a decode worker has yet to pull
  kReceiving,    // reserved for KV that comes from another worker
  kQuarantined,  // the receive was given up, but writes may still be in flight
};
inline constexpr int kNumBlockStates = 6;

// "free", "running", "cached", "leased_out", "receiving", "quarantined": as metrics label them.
absl::string_view BlockStateName(BlockState state);

// Blocks by state, indexed by BlockState.
using BlockCounts = std::array<int, kNumBlockStates>;

// Owned by one thread.
class BlockManager {
 public:
  // All of `num_blocks` blocks start free; a block holds `block_size` tokens. Both at least 1.
  BlockManager(int num_blocks, int block_size);

  // Moves `count` free blocks to `state` and appends them to `table`: first those that continue
  // the table's last block, then as few contiguous runs as the free blocks allow, because KV is
  // sent run by run. False, and nothing has changed, when fewer are free.
  [[nodiscard]] bool Allocate(int count, BlockState state, std::vector<BlockId>* table);

  // Moves `blocks` from one state to another, all or none. INTERNAL, which means that the ledger
  // was broken by its user, names the first block that is not in `from`.
  absl::Status Move(absl::Span<const BlockId> blocks, BlockState from, BlockState to);

  // INTERNAL names the first of `blocks` that is not in `state`.
  absl::Status CheckState(absl::Span<const BlockId> blocks, BlockState state) const;

  // INTERNAL when the counts do not add up to the pool or the free list disagrees with them. O(1),
  // meant for every step.
  absl::Status CheckLedger() const;

  int num_blocks() const { return static_cast<int>(states_.size()); }
  int block_size() const { return block_size_; }
  int num_free() const { return counts_[static_cast<int>(BlockState::kFree)]; }
  const BlockCounts& counts() const { return counts_; }
  BlockState state(BlockId block) const { return states_[block]; }

  // Blocks that hold the KV of `num_tokens` tokens.
  int NumBlocks(int num_tokens) const { return (num_tokens + block_size_ - 1) / block_size_; }

 private:
  using RunIterator = std::map<BlockId, int>::iterator;

  void SetState(BlockId block, BlockState to);
  // Takes up to `count` blocks from the front of a free run; returns how many.
  int TakeFromRun(RunIterator run, int count, BlockState state, std::vector<BlockId>* table);
  void AddFreeRun(BlockId first, int length);

  const int block_size_;
  std::vector<BlockState> states_;
  BlockCounts counts_{};

  // The free blocks as maximal runs, by first block and by length.
  std::map<BlockId, int> free_runs_;
  std::set<std::pair<int, BlockId>> free_runs_by_length_;
  int num_in_free_runs_ = 0;
};

}  // namespace tandem
