// What of a prefix cache has changed since somebody was last told, so that a router can mirror it.
#pragma once

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"

namespace tandem {

// Keys as in engine/core/prefix_key.h.
struct PrefixChanges {
  bool restart = false;  // whatever was told before does not count
  std::vector<uint64_t> added;
  std::vector<uint64_t> removed;

  bool empty() const { return !restart && added.empty() && removed.empty(); }
};

// Holds what is yet to be told, never more keys than the cache has had at once. Nothing is recorded
// before the first Restart: where nobody asks, nothing is kept. Owned by one thread.
class PrefixJournal {
 public:
  // `held` is all that the cache holds now. To be told anew.
  void Restart(absl::Span<const uint64_t> held);

  void Add(uint64_t key);
  void Remove(uint64_t key);

  // The oldest `limit` changes that are yet to be told. A key that came and went is not among them.
  PrefixChanges Take(int limit);

 private:
  struct Change {
    uint64_t key = 0;
    bool added = false;
  };
  void Record(Change change);

  bool is_recording_ = false;
  bool restart_ = false;
  uint64_t last_number_ = 0;
  std::map<uint64_t, Change> pending_;                 // by number: oldest first
  absl::flat_hash_map<uint64_t, uint64_t> number_of_;  // by key
};

}  // namespace tandem
