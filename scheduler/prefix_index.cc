#include "scheduler/prefix_index.h"

#include <algorithm>
#include <utility>

#include "engine/core/log.h"

namespace tandem {
namespace {

// The largest n up to `end` for which `holds(keys[n - 1])`, which is true for a beginning of them.
template <typename Holds>
size_t NumLeading(absl::Span<const uint64_t> keys, size_t end, const Holds& holds) {
  const auto last = keys.begin() + static_cast<std::ptrdiff_t>(end);
  return std::partition_point(keys.begin(), last, holds) - keys.begin();
}

}  // namespace

void PrefixIndex::Apply(const PrefixChanges& changes, int slot) {
  if (changes.restart) Drop(slot);
  if (static_cast<int>(keys_.size()) <= slot) keys_.resize(slot + 1);
  for (uint64_t key : changes.added) Add(slot, key);
  for (uint64_t key : changes.removed) {
    if (keys_[slot].erase(key) > 0) EraseHolder(slot, key);
  }
}

void PrefixIndex::Add(int slot, uint64_t key) {
  if (num_entries_ >= max_entries_ || !keys_[slot].insert(key).second) return;
  std::vector<int>& holders = holders_[key];
  holders.insert(std::lower_bound(holders.begin(), holders.end(), slot), slot);
  ++num_entries_;
}

void PrefixIndex::Drop(int slot) {
  if (static_cast<int>(keys_.size()) <= slot) return;
  for (uint64_t key : std::exchange(keys_[slot], {})) EraseHolder(slot, key);
}

void PrefixIndex::EraseHolder(int slot, uint64_t key) {
  const auto found = holders_.find(key);
  CHECK(found != holders_.end()) << "slot " << slot << " holds a key that nobody holds";
  std::vector<int>& holders = found->second;
  holders.erase(std::lower_bound(holders.begin(), holders.end(), slot));
  if (holders.empty()) holders_.erase(found);
  --num_entries_;
}

int PrefixIndex::NumHolders(uint64_t key) const {
  const auto found = holders_.find(key);
  return found == holders_.end() ? 0 : static_cast<int>(found->second.size());
}

int PrefixIndex::NumHeld(int slot, absl::Span<const uint64_t> keys) const {
  if (static_cast<int>(keys_.size()) <= slot || keys_[slot].empty()) return 0;
  const Keys& held = keys_[slot];
  return static_cast<int>(
      NumLeading(keys, keys.size(), [&held](uint64_t key) { return held.contains(key); }));
}

int PrefixIndex::NumHeldByAny(absl::Span<const uint64_t> keys) const {
  return static_cast<int>(
      NumLeading(keys, keys.size(), [this](uint64_t key) { return holders_.contains(key); }));
}

void PrefixIndex::AppendNearest(absl::Span<const uint64_t> keys, int limit,
                                std::vector<int>* slots) const {
  size_t end = keys.size();
  int num_found = 0;
  const size_t first = slots->size();
  while (num_found < limit) {
    // The longest prefix that further instances hold.
    end = NumLeading(keys, end, [&](uint64_t key) { return NumHolders(key) > num_found; });
    if (end == 0) return;
    const std::vector<int>& holders = holders_.at(keys[end - 1]);
    // From one on that differs from prompt to prompt, so that many prompts use all of many.
    const size_t offset = keys.back() % holders.size();
    for (size_t i = 0; i < holders.size() && num_found < limit; ++i) {
      const int slot = holders[(offset + i) % holders.size()];
      if (std::find(slots->begin() + static_cast<std::ptrdiff_t>(first), slots->end(), slot) !=
          slots->end()) {
        continue;
      }
      slots->push_back(slot);
      ++num_found;
    }
  }
}

}  // namespace tandem
