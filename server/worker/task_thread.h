// A thread that runs posted tasks in order: the owner of whatever only they touch.
#pragma once

#include <deque>
#include <functional>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace tandem {

// Used for what gRPC callbacks must not do themselves: checksums and copies of KV. The number of
// waiting tasks is bounded by the number of open streams, each of which has few tasks posted.
class TaskThread {
 public:
  TaskThread();
  ~TaskThread();  // Stops.

  // Thread-safe. A task posted after Stop is dropped.
  void Post(std::function<void()> task);

  // Finishes what was posted and joins. Idempotent; not from a task.
  void Stop();

 private:
  void Run();

  absl::Mutex mutex_;
  std::deque<std::function<void()>> tasks_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace tandem
