// The clock of a simulation: what is to happen, in order of time.
//
//   EventQueue queue(start);
//   queue.At(start + absl::Seconds(1), [&] { ... queue.At(queue.now() + delay, next) ... });
//   while (queue.RunNext()) {}
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/time/time.h"

namespace tandem {

// What happens at one time happens in the order in which it was planned. One thread.
class EventQueue {
 public:
  explicit EventQueue(absl::Time start) : now_(start) {}

  // A `time` in the past counts as now.
  void At(absl::Time time, std::function<void()> action);
  void After(absl::Duration delay, std::function<void()> action) {
    At(now_ + delay, std::move(action));
  }

  // Advances to the next action and runs it; false when there is none.
  bool RunNext();

  // Of the action that runs, or ran last.
  absl::Time now() const { return now_; }
  int64_t num_run() const { return num_run_; }

 private:
  struct Entry {
    absl::Time time;
    uint64_t order;
    std::function<void()> action;
  };
  // The heap's front is the earliest.
  static bool Later(const Entry& a, const Entry& b) {
    return a.time != b.time ? a.time > b.time : a.order > b.order;
  }

  absl::Time now_;
  uint64_t next_order_ = 0;
  int64_t num_run_ = 0;
  std::vector<Entry> heap_;
};

}  // namespace tandem
