// The requests that are being answered: how many there may be, and how they end when the gateway
// does.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/gateway/metrics.h"

namespace tandem {

// Thread-safe.
class ActiveRequests {
 public:
  // The place of one request; given back when destroyed.
  class Place {
   public:
    Place() = default;
    Place(ActiveRequests* requests, uint64_t id) : requests_(requests), id_(id) {}
    Place(Place&& other) noexcept
        : requests_(std::exchange(other.requests_, nullptr)), id_(other.id_) {}
    Place& operator=(Place&& other) noexcept;
    ~Place();

    // What CancelAll calls, on its caller's thread; must only post.
    void OnCancel(std::function<void()> cancel);

   private:
    ActiveRequests* requests_ = nullptr;
    uint64_t id_ = 0;
  };

  ActiveRequests(int max_requests, Metrics& metrics);

  // UNAVAILABLE while draining, and when `max_requests` are there.
  absl::StatusOr<Place> Admit();

  void BeginDrain();
  bool is_draining() const;
  // True if none was left before `timeout` had passed.
  bool WaitUntilNone(absl::Duration timeout);
  // Returns how many there were.
  int CancelAll();

 private:
  void Leave(uint64_t id);

  const int max_requests_;
  Metrics& metrics_;

  mutable absl::Mutex mutex_;
  bool is_draining_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t next_id_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::flat_hash_map<uint64_t, std::function<void()>> cancels_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tandem
