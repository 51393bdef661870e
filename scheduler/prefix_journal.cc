#include "scheduler/prefix_journal.h"

#include <utility>

namespace tandem {

void PrefixJournal::Restart(absl::Span<const uint64_t> held) {
  is_recording_ = true;
  restart_ = true;
  pending_.clear();
  number_of_.clear();
  for (uint64_t key : held) Record({.key = key, .added = true});
}

void PrefixJournal::Add(uint64_t key) { Record({.key = key, .added = true}); }

void PrefixJournal::Remove(uint64_t key) { Record({.key = key, .added = false}); }

void PrefixJournal::Record(Change change) {
  if (!is_recording_) return;
  const auto [found, is_new] = number_of_.try_emplace(change.key, last_number_ + 1);
  if (is_new) {
    pending_.emplace(++last_number_, change);
  } else {
    // The opposite of what is yet to be told, since a key comes and goes in turns.
    pending_.erase(found->second);
    number_of_.erase(found);
  }
}

PrefixChanges PrefixJournal::Take(int limit) {
  PrefixChanges changes{.restart = std::exchange(restart_, false)};
  while (!pending_.empty() && limit-- > 0) {
    const Change change = pending_.begin()->second;
    (change.added ? changes.added : changes.removed).push_back(change.key);
    number_of_.erase(change.key);
    pending_.erase(pending_.begin());
  }
  return changes;
}

}  // namespace tandem
