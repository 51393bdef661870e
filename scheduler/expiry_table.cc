#include "scheduler/expiry_table.h"

namespace tandem {

void ExpiryTable::Set(RequestId id, absl::Time expiry) {
  Clear(id);
  by_id_.emplace(id, expiry);
  by_time_.emplace(expiry, id);
}

bool ExpiryTable::Clear(RequestId id) {
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return false;
  by_time_.erase({found->second, id});
  by_id_.erase(found);
  return true;
}

std::vector<RequestId> ExpiryTable::TakeExpired(absl::Time now) {
  std::vector<RequestId> expired;
  while (!by_time_.empty() && by_time_.begin()->first <= now) {
    expired.push_back(by_time_.begin()->second);
    Clear(expired.back());
  }
  return expired;
}

absl::Time ExpiryTable::Next() const {
  return by_time_.empty() ? absl::InfiniteFuture() : by_time_.begin()->first;
}

}  // namespace tandem
