// Finds KV blocks by what they hold, so that prompts that begin alike are computed once.
#pragma once

#include <cstdint>
#include <list>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"
#include "engine/core/ids.h"
#include "engine/core/prefix_key.h"
#include "scheduler/prefix_journal.h"

namespace tandem {

// A prefix of full blocks: the hash of its tokens, block by block, from a salt on. The same on
// every worker, so that a Router can compare. Different prefixes may have equal keys; the cache
// compares tokens.
struct PrefixChain {
  uint64_t key = 0;   // of all blocks so far
  uint64_t node = 0;  // the cache's entry for the last of them; 0: no blocks yet
  int num_blocks = 0;

  // No blocks. Prefixes of different salts have nothing in common.
  static PrefixChain Root(uint64_t salt) { return {.key = salt}; }
};

// An index of blocks by prefix (hash chains, vLLM's automatic prefix caching), and the order in
// which the unused ones are given up. What a block is used for is the BlockManager's business.
// Owned by one thread.
class PrefixCache {
 public:
  // The block that holds `tokens` behind the prefix `chain`, which then includes it.
  std::optional<BlockId> Find(absl::Span<const TokenId> tokens, PrefixChain* chain) const;

  // From now on `block` is found for `tokens` behind `chain`, which then includes it. Where another
  // block is, that one stays: false. Also false, and the chain stays, where the chain's own blocks
  // have been given up: nothing behind them can be found.
  bool Insert(absl::Span<const TokenId> tokens, BlockId block, PrefixChain* chain);

  bool Contains(BlockId block) const {
    return static_cast<size_t>(block) < by_block_.size() && by_block_[block].node != 0;
  }

  // A block that it contains is computed with, or is not any more.
  void SetUsed(BlockId block);
  void SetUnused(BlockId block);

  // Gives up the block that has been unused for longest. Precondition: num_unused() > 0.
  BlockId TakeOldest();

  // Which prefixes have come and gone; see PrefixJournal. After RestartChanges all count as new,
  // shorter ones before those that continue them.
  void RestartChanges();
  PrefixChanges TakeChanges(int limit) { return journal_.Take(limit); }

  int size() const { return static_cast<int>(entries_.size()); }
  int num_unused() const { return static_cast<int>(unused_.size()); }

 private:
  struct Entry {
    uint64_t node = 0;
    uint64_t parent = 0;  // node
    std::vector<TokenId> tokens;
    BlockId block = 0;
  };
  struct Place {
    uint64_t key = 0;
    uint64_t node = 0;  // 0: the block is not in the cache
    std::list<BlockId>::iterator unused;
    bool is_unused = false;
  };

  // Null unless the entry with this key is that of `tokens` behind `parent`.
  const Entry* Lookup(uint64_t key, uint64_t parent, absl::Span<const TokenId> tokens) const;
  bool IsAlive(const PrefixChain& chain) const;

  absl::flat_hash_map<uint64_t, Entry> entries_;  // by key
  std::vector<Place> by_block_;                   // as far as there are any
  std::list<BlockId> unused_;                     // oldest first
  uint64_t last_node_ = 0;
  PrefixJournal journal_;
};

}  // namespace tandem
