// Threads and the order of work on them. A Strand runs its tasks one after another, so whatever
// belongs to one request needs no lock: everything that happens to the request (bytes from the
// client, tokens from a worker, timers) is posted to its strand.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"

namespace boost::asio {
class io_context;
}

namespace tandem {

using Task = absl::AnyInvocable<void()>;

// Runs tasks in the order they were posted, never two at once. Thread-safe.
class Strand {
 public:
  // Destroying a timer cancels it: its task does not run afterwards. Strand only.
  class Timer {
   public:
    virtual ~Timer() = default;
  };

  virtual ~Strand() = default;
  virtual void Post(Task task) = 0;
  virtual std::unique_ptr<Timer> RunAfter(absl::Duration delay, Task task) = 0;
};

// Threads with an event loop each, and a strand on each in turn: were the loop one of all threads,
// every task that a task posts would wake another of them, for nothing (13 of 24 wakes in the life
// of a small request). What takes long runs aside, on other threads, lest it holds up all strands
// of a loop. Thread-safe but for Start and Stop.
class EventLoop {
 public:
  struct StartOptions {
    // Of the loops' threads: SCHED_RR, so that they need not wait for cores that compute. Their
    // tasks are short; what runs aside has the priority of any other thread.
    bool is_realtime = false;
  };

  explicit EventLoop(int num_threads);
  ~EventLoop();  // Stops.

  // PERMISSION_DENIED: real-time priority is not to be had; the loop runs without it.
  absl::Status Start(const StartOptions& options);
  absl::Status Start() { return Start({}); }
  // Lets running tasks end, drops queued ones, joins. No task runs afterwards; one that is posted
  // later, by a thread of gRPC that has only now ended a call, is dropped.
  void Stop();

  std::shared_ptr<Strand> NewStrand();
  // The loop of the next strand. Shared with its strands, which may be posted to and go away after
  // the loop has.
  const std::shared_ptr<boost::asio::io_context>& NextContext();

  // Gives the result of `work()` to `then` on `strand`: at once, which takes a call on `strand`, or
  // if it `is_long` after `work` has run aside.
  template <typename Work, typename Then>
  void Compute(bool is_long, const std::shared_ptr<Strand>& strand, Work work, Then then) {
    if (!is_long) return then(work());
    RunAside([strand, work = std::move(work), then = std::move(then)]() mutable {
      strand->Post(
          [then = std::move(then), result = work()]() mutable { then(std::move(result)); });
    });
  }

 private:
  class Context;

  void RunAside(Task task);

  const std::shared_ptr<Context> aside_;
  std::vector<std::shared_ptr<boost::asio::io_context>> contexts_;  // fixed after construction
  std::atomic<size_t> next_context_ = 0;
  std::vector<std::thread> threads_;
};

}  // namespace tandem
