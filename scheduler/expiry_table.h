// Whose time is up: the leases on KV that waits to be pulled, and the deadlines of requests that
// have not begun.
#pragma once

#include <set>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "engine/core/ids.h"

namespace tandem {

// At most one time per request. Owned by one thread.
class ExpiryTable {
 public:
  // Replaces the request's time if it has one.
  void Set(RequestId id, absl::Time expiry);

  // False if the request has none.
  bool Clear(RequestId id);

  // Removes and returns the requests whose time is not after `now`, earliest first, then by id.
  std::vector<RequestId> TakeExpired(absl::Time now);

  // The earliest time; InfiniteFuture when there is none.
  absl::Time Next() const;

  int size() const { return static_cast<int>(by_time_.size()); }

 private:
  std::set<std::pair<absl::Time, RequestId>> by_time_;
  absl::flat_hash_map<RequestId, absl::Time> by_id_;
};

}  // namespace tandem
