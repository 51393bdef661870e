// Counters in shared memory, by which the ranks of an instance wait for each other.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <utility>

#include "absl/status/status.h"

namespace tandem {

// Counts up from zero, which is what fresh shared memory holds, and wraps. Any process may advance
// it or wait. What was written before Advance is seen by whoever has seen the count.
class alignas(64) SharedCounter {
 public:
  uint32_t value() const { return value_.load(std::memory_order_acquire); }
  // Whether the count has come to `target`, which is less than 2^31 away.
  bool HasReached(uint32_t target) const { return static_cast<int32_t>(value() - target) >= 0; }
  void Advance();

 private:
  friend class PeerWaiter;

  std::atomic<uint32_t> value_;
  mutable std::atomic<uint32_t> num_sleepers_;
};
static_assert(std::atomic<uint32_t>::is_always_lock_free);

// Waits for other processes without hanging on a dead one.
class PeerWaiter {
 public:
  // `check` is asked about ten times a second while a wait lasts; what it returns other than OK
  // ends the wait. A rank that ends with its instance needs none.
  explicit PeerWaiter(std::function<absl::Status()> check = nullptr) : check_(std::move(check)) {}

  // Returns when `counter` has reached `target`. Spins for some 20 microseconds, the time between
  // two operations of a layer, then sleeps: ranks may share cores.
  absl::Status Await(const SharedCounter& counter, uint32_t target) const;

 private:
  const std::function<absl::Status()> check_;
};

}  // namespace tandem
