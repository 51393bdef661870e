#include "scheduler/block_manager.h"

#include <algorithm>
#include <iterator>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "engine/core/log.h"

namespace tandem {

absl::string_view BlockStateName(BlockState state) {
  static constexpr std::array<absl::string_view, kNumBlockStates> kNames = {
      "free", "running", "cached", "leased_out", "receiving", "quarantined"};
  return kNames[static_cast<int>(state)];
}

BlockManager::BlockManager(int num_blocks, int block_size)
    : num_blocks_(num_blocks), block_size_(block_size) {
  CHECK(num_blocks >= 1 && block_size >= 1) << num_blocks << " blocks of " << block_size;
  counts_[static_cast<int>(BlockState::kFree)] = num_blocks;
  AddFreeRun(0, num_blocks);
}

bool BlockManager::Allocate(int count, BlockState state, std::vector<BlockId>* table) {
  if (count > num_available()) return false;
  EvictFor(count);
  if (!table->empty() && count > 0) {
    const RunIterator next = free_runs_.find(table->back() + 1);
    if (next != free_runs_.end()) count -= TakeFromRun(next, count, state, table);
  }
  while (count > 0) {
    // The smallest run that holds all of it, else the longest there is.
    auto best = free_runs_by_length_.lower_bound({count, 0});
    if (best == free_runs_by_length_.end()) best = std::prev(best);
    count -= TakeFromRun(free_runs_.find(best->second), count, state, table);
  }
  return true;
}

void BlockManager::EvictFor(int count) {
  std::vector<BlockId> evicted;
  while (num_free() < count) {
    evicted.push_back(cache_.TakeOldest());
    SetState(evicted.back(), BlockState::kFree);
  }
  AddFreeBlocks(evicted);
}

absl::Status BlockManager::Move(absl::Span<const BlockId> blocks, BlockState from, BlockState to) {
  if (absl::Status status = CheckState(blocks, from); !status.ok()) return status;
  std::vector<BlockId> freed;
  // From the last to the first, which so stay cached for longest.
  for (auto block = blocks.rbegin(); block != blocks.rend(); ++block) {
    if (!HasUse(*block, from)) {
      return absl::InternalError(absl::StrCat("block ", *block, " is named twice"));
    }
    ChangeUse(*block, from, to);
    if (state(*block) == BlockState::kFree) freed.push_back(*block);
  }
  std::reverse(freed.begin(), freed.end());
  AddFreeBlocks(freed);
  return absl::OkStatus();
}

std::optional<int> BlockManager::AllocateBehindPrefix(absl::Span<const TokenId> shareable,
                                                      int count, BlockState state,
                                                      PrefixChain* chain,
                                                      std::vector<BlockId>* table) {
  PrefixChain end = *chain;
  std::vector<BlockId> blocks;
  for (size_t i = block_size_; i <= shareable.size(); i += block_size_) {
    const std::optional<BlockId> block =
        cache_.Find(shareable.subspan(i - block_size_, block_size_), &end);
    if (!block) break;
    blocks.push_back(*block);
  }
  const int num_shared = static_cast<int>(blocks.size());
  const auto unused = std::count_if(blocks.begin(), blocks.end(), [this](BlockId block) {
    return blocks_[block].state == BlockState::kCached;
  });
  if (count - num_shared > num_available() - unused) return std::nullopt;
  for (BlockId block : blocks) ChangeUse(block, BlockState::kFree, BlockState::kRunning);
  CHECK(Allocate(count - num_shared, state, &blocks)) << "counted before";
  table->insert(table->end(), blocks.begin(), blocks.end());
  *chain = end;
  return num_shared;
}

void BlockManager::Publish(absl::Span<const TokenId> tokens, absl::Span<const BlockId> table,
                           PrefixChain* chain) {
  while (true) {
    const int index = chain->num_blocks;
    const size_t begin = size_t(index) * block_size_;
    if (begin + block_size_ > tokens.size()) return;
    cache_.Insert(tokens.subspan(begin, block_size_), table[index], chain);
    if (chain->num_blocks == index) return;
  }
}

int BlockManager::NumShared(absl::Span<const BlockId> blocks) const {
  const auto own = std::find_if(blocks.begin(), blocks.end(), [this](BlockId block) {
    return blocks_[block].num_running + blocks_[block].num_leased <= 1;
  });
  return static_cast<int>(own - blocks.begin());
}

absl::Status BlockManager::CheckState(absl::Span<const BlockId> blocks, BlockState state) const {
  for (BlockId block : blocks) {
    if (block < 0 || block >= num_blocks()) {
      return absl::InternalError(
          absl::StrCat("block ", block, " is outside the pool of ", num_blocks()));
    }
    if (!HasUse(block, state)) {
      return absl::InternalError(absl::StrCat("block ", block, " is ",
                                              BlockStateName(this->state(block)), ", not ",
                                              BlockStateName(state)));
    }
  }
  return absl::OkStatus();
}

absl::Status BlockManager::CheckLedger() const {
  const int sum = std::accumulate(counts_.begin(), counts_.end(), 0);
  if (sum != num_blocks() || *std::min_element(counts_.begin(), counts_.end()) < 0) {
    std::string message = absl::StrCat("ledger of ", num_blocks(), " blocks adds up to ", sum, ":");
    for (int i = 0; i < kNumBlockStates; ++i) {
      absl::StrAppend(&message, " ", BlockStateName(static_cast<BlockState>(i)), "=", counts_[i]);
    }
    return absl::InternalError(message);
  }
  if (num_in_free_runs_ != num_free()) {
    return absl::InternalError(
        absl::StrCat("free list holds ", num_in_free_runs_, " blocks, ledger says ", num_free()));
  }
  if (const int cached = counts_[static_cast<int>(BlockState::kCached)];
      cached != cache_.num_unused()) {
    return absl::InternalError(absl::StrCat("prefix cache holds ", cache_.num_unused(),
                                            " unused blocks, ledger says ", cached));
  }
  return absl::OkStatus();
}

bool BlockManager::HasUse(BlockId id, BlockState state) const {
  const Block block = Get(id);
  switch (state) {
    case BlockState::kRunning:
      return block.num_running > 0;
    case BlockState::kLeasedOut:
      return block.num_leased > 0;
    default:
      return block.state == state;
  }
}

void BlockManager::ChangeUse(BlockId id, BlockState from, BlockState to) {
  Block& block = blocks_[id];
  block.num_running += (to == BlockState::kRunning) - (from == BlockState::kRunning);
  block.num_leased += (to == BlockState::kLeasedOut) - (from == BlockState::kLeasedOut);
  const bool known = cache_.Contains(id);
  if (to == BlockState::kReceiving || to == BlockState::kQuarantined) {
    SetState(id, to);
  } else if (block.num_running > 0) {
    SetState(id, BlockState::kRunning);
  } else if (block.num_leased > 0) {
    SetState(id, BlockState::kLeasedOut);
  } else {
    SetState(id, known ? BlockState::kCached : BlockState::kFree);
  }
  if (!known) return;
  if (block.state == BlockState::kCached) {
    cache_.SetUnused(id);
  } else {
    cache_.SetUsed(id);
  }
}

void BlockManager::SetState(BlockId block, BlockState to) {
  --counts_[static_cast<int>(blocks_[block].state)];
  ++counts_[static_cast<int>(to)];
  blocks_[block].state = to;
}

int BlockManager::TakeFromRun(RunIterator run, int count, BlockState state,
                              std::vector<BlockId>* table) {
  const auto [first, length] = *run;
  const int taken = std::min(count, length);
  free_runs_.erase(run);
  free_runs_by_length_.erase({length, first});
  num_in_free_runs_ -= length;
  if (const auto end = static_cast<size_t>(first) + taken; end > blocks_.size()) {
    blocks_.resize(end);
  }
  for (BlockId block = first; block < first + taken; ++block) {
    ChangeUse(block, BlockState::kFree, state);
    table->push_back(block);
  }
  if (taken < length) AddFreeRun(first + taken, length - taken);
  return taken;
}

void BlockManager::AddFreeBlocks(absl::Span<const BlockId> blocks) {
  for (size_t i = 0; i < blocks.size();) {
    size_t end = i + 1;
    while (end < blocks.size() && blocks[end] == blocks[end - 1] + 1) ++end;
    AddFreeRun(blocks[i], static_cast<int>(end - i));
    i = end;
  }
}

void BlockManager::AddFreeRun(BlockId first, int length) {
  num_in_free_runs_ += length;
  auto next = free_runs_.lower_bound(first);
  if (next != free_runs_.begin()) {
    const auto previous = std::prev(next);
    if (previous->first + previous->second == first) {
      first = previous->first;
      length += previous->second;
      free_runs_by_length_.erase({previous->second, previous->first});
      free_runs_.erase(previous);
    }
  }
  if (next != free_runs_.end() && first + length == next->first) {
    length += next->second;
    free_runs_by_length_.erase({next->second, next->first});
    free_runs_.erase(next);
  }
  free_runs_.emplace(first, length);
  free_runs_by_length_.emplace(length, first);
}

}  // namespace tandem
