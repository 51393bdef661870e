#include "scheduler/host_tier.h"

#include "absl/strings/str_cat.h"
#include "engine/core/log.h"

namespace tandem {

HostTier::HostTier(int num_blocks) : num_blocks_(num_blocks), counts_{.free = num_blocks} {
  CHECK(num_blocks >= 0) << num_blocks << " host blocks";
  free_.reserve(num_blocks);
  for (BlockId block = num_blocks - 1; block >= 0; --block) free_.push_back(block);
}

bool HostTier::SwapOut(absl::Span<const BlockId> blocks, std::vector<BlockId>* host_table,
                       std::vector<BlockCopy>* copies) {
  const int count = static_cast<int>(blocks.size());
  if (count > counts_.free) return false;
  for (BlockId block : blocks) {
    copies->push_back(
        {.direction = CopyDirection::kOut, .block = block, .host_block = free_.back()});
    host_table->push_back(free_.back());
    free_.pop_back();
  }
  counts_.free -= count;
  counts_.swapped += count;
  return true;
}

void HostTier::SwapIn(absl::Span<const BlockId> blocks, std::vector<BlockId>* host_table,
                      std::vector<BlockCopy>* copies) {
  CHECK(blocks.size() <= host_table->size())
      << blocks.size() << " blocks of " << host_table->size() << " that are swapped";
  const size_t first = host_table->size() - blocks.size();
  for (size_t i = 0; i < blocks.size(); ++i) {
    copies->push_back({.direction = CopyDirection::kIn,
                       .block = blocks[i],
                       .host_block = (*host_table)[first + i]});
  }
  Free(host_table);
}

void HostTier::Free(std::vector<BlockId>* host_table) {
  const int count = static_cast<int>(host_table->size());
  counts_.swapped -= count;
  counts_.free += count;
  free_.insert(free_.end(), host_table->rbegin(), host_table->rend());
  host_table->clear();
}

absl::Status HostTier::CheckLedger() const {
  if (counts_.free >= 0 && counts_.swapped >= 0 && counts_.free + counts_.swapped == num_blocks_ &&
      static_cast<int>(free_.size()) == counts_.free) {
    return absl::OkStatus();
  }
  return absl::InternalError(
      absl::StrCat("host tier of ", num_blocks_, " blocks: free=", counts_.free,
                   " swapped=", counts_.swapped, ", free list ", free_.size()));
}

}  // namespace tandem
