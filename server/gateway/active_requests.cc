#include "server/gateway/active_requests.h"

#include <vector>

#include "absl/strings/str_cat.h"

namespace tandem {

ActiveRequests::Place& ActiveRequests::Place::operator=(Place&& other) noexcept {
  std::swap(requests_, other.requests_);
  std::swap(id_, other.id_);
  return *this;
}

ActiveRequests::Place::~Place() {
  if (requests_ != nullptr) requests_->Leave(id_);
}

void ActiveRequests::Place::OnCancel(std::function<void()> cancel) {
  const absl::MutexLock lock(&requests_->mutex_);
  requests_->cancels_[id_] = std::move(cancel);
}

ActiveRequests::ActiveRequests(int max_requests, Metrics& metrics)
    : max_requests_(max_requests), metrics_(metrics) {}

absl::StatusOr<ActiveRequests::Place> ActiveRequests::Admit() {
  const absl::MutexLock lock(&mutex_);
  if (is_draining_) return absl::UnavailableError("The server is shutting down.");
  if (static_cast<int>(cancels_.size()) >= max_requests_) {
    return absl::UnavailableError(
        absl::StrCat("This gateway is already answering ", max_requests_, " requests, its limit."));
  }
  const uint64_t id = next_id_++;
  cancels_[id] = [] {};
  metrics_.SetActiveRequests(static_cast<int>(cancels_.size()));
  return Place(this, id);
}

void ActiveRequests::Leave(uint64_t id) {
  const absl::MutexLock lock(&mutex_);
  cancels_.erase(id);
  metrics_.SetActiveRequests(static_cast<int>(cancels_.size()));
}

void ActiveRequests::BeginDrain() {
  const absl::MutexLock lock(&mutex_);
  is_draining_ = true;
}

bool ActiveRequests::is_draining() const {
  const absl::MutexLock lock(&mutex_);
  return is_draining_;
}

bool ActiveRequests::WaitUntilNone(absl::Duration timeout) {
  const auto is_none = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return cancels_.empty(); };
  const absl::MutexLock lock(&mutex_);
  return mutex_.AwaitWithTimeout(absl::Condition(&is_none), timeout);
}

int ActiveRequests::CancelAll() {
  std::vector<std::function<void()>> cancels;
  {
    const absl::MutexLock lock(&mutex_);
    for (const auto& [id, cancel] : cancels_) cancels.push_back(cancel);
  }
  for (const std::function<void()>& cancel : cancels) cancel();
  return static_cast<int>(cancels.size());
}

}  // namespace tandem
