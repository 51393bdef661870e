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
    : block_size_(block_size), states_(num_blocks, BlockState::kFree) {
  CHECK(num_blocks >= 1 && block_size >= 1) << num_blocks << " blocks of " << block_size;
  counts_[static_cast<int>(BlockState::kFree)] = num_blocks;
  AddFreeRun(0, num_blocks);
}

bool BlockManager::Allocate(int count, BlockState state, std::vector<BlockId>* table) {
  if (count > num_free()) return false;
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

absl::Status BlockManager::Move(absl::Span<const BlockId> blocks, BlockState from, BlockState to) {
  if (absl::Status status = CheckState(blocks, from); !status.ok()) return status;
  for (BlockId block : blocks) SetState(block, to);
  if (to != BlockState::kFree) return absl::OkStatus();
  for (size_t i = 0; i < blocks.size();) {
    size_t end = i + 1;
    while (end < blocks.size() && blocks[end] == blocks[end - 1] + 1) ++end;
    AddFreeRun(blocks[i], static_cast<int>(end - i));
    i = end;
  }
  return absl::OkStatus();
}

absl::Status BlockManager::CheckState(absl::Span<const BlockId> blocks, BlockState state) const {
  for (BlockId block : blocks) {
    if (block < 0 || block >= num_blocks()) {
      return absl::InternalError(
          absl::StrCat("block ", block, " is outside the pool of ", num_blocks()));
    }
    if (states_[block] != state) {
      return absl::InternalError(absl::StrCat("block ", block, " is ",
                                              BlockStateName(states_[block]), ", not ",
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
  return absl::OkStatus();
}

void BlockManager::SetState(BlockId block, BlockState to) {
  --counts_[static_cast<int>(states_[block])];
  ++counts_[static_cast<int>(to)];
  states_[block] = to;
}

int BlockManager::TakeFromRun(RunIterator run, int count, BlockState state,
                              std::vector<BlockId>* table) {
  const auto [first, length] = *run;
  const int taken = std::min(count, length);
  free_runs_.erase(run);
  free_runs_by_length_.erase({length, first});
  num_in_free_runs_ -= length;
  for (BlockId block = first; block < first + taken; ++block) {
    SetState(block, state);
    table->push_back(block);
  }
  if (taken < length) AddFreeRun(first + taken, length - taken);
  return taken;
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
