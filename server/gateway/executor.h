// Threads and the order of work on them. A Strand runs its tasks one after another, so whatever
// belongs to one request needs no lock: everything that happens to the request (bytes from the
// client, tokens from a worker, timers) is posted to its strand.
#pragma once

#include <memory>
#include <thread>
#include <vector>

#include "absl/functional/any_invocable.h"
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

// A few threads that run one event loop. Thread-safe but for Start and Stop.
class EventLoop {
 public:
  EventLoop();
  ~EventLoop();  // Stops.

  void Start(int num_threads);
  // Lets running tasks end, drops queued ones, joins. No task runs afterwards; one that is posted
  // later, by a thread of gRPC that has only now ended a call, is dropped.
  void Stop();

  std::shared_ptr<Strand> NewStrand();
  // Shared with every strand, which may be posted to and go away after the loop has.
  const std::shared_ptr<boost::asio::io_context>& context() const { return context_; }

 private:
  class Context;

  const std::shared_ptr<boost::asio::io_context> context_;
  std::vector<std::thread> threads_;
};

}  // namespace tandem
