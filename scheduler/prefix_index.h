// Which instances hold the KV of which prefixes, as they have told.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/types/span.h"
#include "scheduler/prefix_journal.h"

namespace tandem {

// An instance is a small number here, its slot. Prompts are given as the keys of all their prefixes
// of full blocks, shortest first. Who holds a prefix is taken to hold the shorter ones too, which
// caches see to by giving up the ends of chains first; where one does not, what is found is off.
// Owned by one thread; the same calls give the same answers.
class PrefixIndex {
 public:
  // Keeps at most `max_entries` pairs of key and instance, about 60 bytes each; what is told beyond
  // is not found.
  explicit PrefixIndex(int64_t max_entries) : max_entries_(max_entries) {}

  void Apply(const PrefixChanges& changes, int slot);

  // The instance is gone, or begins anew.
  void Drop(int slot);

  // How many of a prompt's keys the instance holds. O(log keys).
  int NumHeld(int slot, absl::Span<const uint64_t> keys) const;

  // How many of them the instance has that has most.
  int NumHeldByAny(absl::Span<const uint64_t> keys) const;

  // Appends the instances that hold most of a prompt, those with more first, at most `limit` of
  // them. Of equal ones that are too many, the prompt decides which. O(log keys + limit) for each.
  void AppendNearest(absl::Span<const uint64_t> keys, int limit, std::vector<int>* slots) const;

  int64_t num_entries() const { return num_entries_; }

 private:
  using Keys = absl::flat_hash_set<uint64_t>;

  void Add(int slot, uint64_t key);
  void EraseHolder(int slot, uint64_t key);
  int NumHolders(uint64_t key) const;

  const int64_t max_entries_;
  absl::flat_hash_map<uint64_t, std::vector<int>> holders_;  // slots in order
  std::vector<Keys> keys_;                                   // by slot
  int64_t num_entries_ = 0;
};

}  // namespace tandem
