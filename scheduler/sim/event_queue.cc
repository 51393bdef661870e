#include "scheduler/sim/event_queue.h"

#include <algorithm>
#include <utility>

namespace tandem {

void EventQueue::At(absl::Time time, std::function<void()> action) {
  heap_.push_back({std::max(time, now_), next_order_++, std::move(action)});
  std::push_heap(heap_.begin(), heap_.end(), Later);
}

bool EventQueue::RunNext() {
  if (heap_.empty()) return false;
  std::pop_heap(heap_.begin(), heap_.end(), Later);
  const Entry entry = std::move(heap_.back());
  heap_.pop_back();
  now_ = entry.time;
  ++num_run_;
  entry.action();
  return true;
}

}  // namespace tandem
