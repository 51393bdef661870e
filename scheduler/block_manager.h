// The ledger of an instance's KV memory: every block of the pool is in exactly one state, each
// state is counted, and the counts add up to the pool. Which bytes a block has is engine/kv's
// business.
//
// Sequences that begin alike share blocks. A block that several use is in the first of the states
// kRunning, kLeasedOut, kCached, kFree that one of its uses asks for; kReceiving and kQuarantined
// are of one user alone.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "engine/core/ids.h"
#include "scheduler/prefix_cache.h"

namespace tandem {

enum class BlockState : uint8_t {
  kFree,
  kRunning,      // a sequence on this instance computes with it
  kCached,       // nobody uses it, its content can be found again
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

  // Appends `count` blocks, for one use in `state`, to `table`: free ones, first those that
  // continue the table's last block, then as few contiguous runs as there are, because KV is sent
  // run by run; where too few are free, the cached ones that were not used for longest are given up
  // before. False, and nothing has changed, when fewer are free and cached.
  [[nodiscard]] bool Allocate(int count, BlockState state, std::vector<BlockId>* table);

  // Changes one use of each of `blocks`, all or none. To kFree: the use ends, and the last to end
  // leaves the block cached, if its content is known, or free; the first blocks are then kept
  // longest. INTERNAL, which means that the ledger was broken by its user, names the first block
  // that has no such use.
  absl::Status Move(absl::Span<const BlockId> blocks, BlockState from, BlockState to);

  // The blocks that a sequence begins with: `count` of them appended to `table`. The first hold the
  // longest prefix of `shareable` that is known, each for a further kRunning use; the rest are
  // allocated in `state`. `chain` then ends behind the shared ones, whose number is returned.
  // Absent, and nothing has changed, when too few can be allocated.
  std::optional<int> AllocateBehindPrefix(absl::Span<const TokenId> shareable, int count,
                                          BlockState state, PrefixChain* chain,
                                          std::vector<BlockId>* table);

  // Makes known what the blocks of `table` hold from `chain` on: all that `tokens` fill. They are
  // running. `chain` then ends there, or where the content was known from another block that has
  // been given up.
  void Publish(absl::Span<const TokenId> tokens, absl::Span<const BlockId> table,
               PrefixChain* chain);

  // What of the known prefixes has changed; see PrefixCache.
  void RestartPrefixChanges() { cache_.RestartChanges(); }
  PrefixChanges TakePrefixChanges(int limit) { return cache_.TakeChanges(limit); }
  // How many of the first of `blocks` have more than one use.
  int NumShared(absl::Span<const BlockId> blocks) const;

  // INTERNAL names the first of `blocks` that has no use in `state`.
  absl::Status CheckState(absl::Span<const BlockId> blocks, BlockState state) const;

  // INTERNAL when the counts do not add up to the pool or the free list disagrees with them. O(1),
  // meant for every step.
  absl::Status CheckLedger() const;

  int num_blocks() const { return num_blocks_; }
  int block_size() const { return block_size_; }
  int num_free() const { return counts_[static_cast<int>(BlockState::kFree)]; }
  // What Allocate can give.
  int num_available() const { return num_free() + cache_.num_unused(); }
  const BlockCounts& counts() const { return counts_; }
  BlockState state(BlockId block) const { return Get(block).state; }

  // Blocks that hold the KV of `num_tokens` tokens.
  int NumBlocks(int num_tokens) const { return (num_tokens + block_size_ - 1) / block_size_; }

 private:
  using RunIterator = std::map<BlockId, int>::iterator;
  struct Block {
    BlockState state = BlockState::kFree;
    int num_running = 0;
    int num_leased = 0;
  };

  Block Get(BlockId id) const {
    return static_cast<size_t>(id) < blocks_.size() ? blocks_[id] : Block();
  }
  bool HasUse(BlockId id, BlockState state) const;
  // Takes one use in `from` away, adds one in `to` (kFree: none), and sets the state accordingly.
  void ChangeUse(BlockId block, BlockState from, BlockState to);
  void SetState(BlockId block, BlockState to);
  // Cached blocks that are not used become free, until `count` are free.
  void EvictFor(int count);
  // Takes up to `count` blocks from the front of a free run; returns how many.
  int TakeFromRun(RunIterator run, int count, BlockState state, std::vector<BlockId>* table);
  // Of blocks in any order; neighbours that stand side by side go in together.
  void AddFreeBlocks(absl::Span<const BlockId> blocks);
  void AddFreeRun(BlockId first, int length);

  const int num_blocks_, block_size_;
  std::vector<Block> blocks_;  // as far as any has been used: a pool may be larger than its use
  BlockCounts counts_{};
  PrefixCache cache_;

  // The free blocks as maximal runs, by first block and by length.
  std::map<BlockId, int> free_runs_;
  std::set<std::pair<int, BlockId>> free_runs_by_length_;
  int num_in_free_runs_ = 0;
};

}  // namespace tandem
