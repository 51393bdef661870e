#include "server/gateway/executor.h"

#include <pthread.h>
#include <sched.h>

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "boost/asio/bind_executor.hpp"
#include "boost/asio/executor_work_guard.hpp"
#include "boost/asio/post.hpp"
#include "boost/asio/steady_timer.hpp"
#include "server/gateway/asio_strand.h"

namespace tandem {
namespace {

class AsioTimer : public Strand::Timer {
 public:
  AsioTimer(const AsioStrand::Executor& executor, absl::Duration delay, Task task)
      : timer_(executor, absl::ToChronoNanoseconds(delay)),
        task_(std::make_shared<Task>(std::move(task))) {
    // The weak pointer is what cancels: the wait may have ended, its handler be queued already.
    timer_.async_wait([task = std::weak_ptr<Task>(task_)](boost::system::error_code error) {
      const std::shared_ptr<Task> held = task.lock();
      if (!error && held != nullptr) (*held)();
    });
  }

 private:
  boost::asio::steady_timer timer_;
  const std::shared_ptr<Task> task_;  // shared with the pending wait alone
};

// The lowest priority above all threads without one. Threads that a loop's thread starts, such as
// gRPC's, do not inherit it.
absl::Status MakeRealtime(pthread_t thread) {
  const sched_param parameters = {.sched_priority = 1};
  const int error = pthread_setschedparam(thread, SCHED_RR | SCHED_RESET_ON_FORK, &parameters);
  if (error == 0) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrCat(
      "--realtime-gateway: no real-time priority is to be had, which takes CAP_SYS_NICE or a limit "
      "of rtprio: ",
      std::strerror(error)));
}

}  // namespace

AsioStrand::AsioStrand(std::shared_ptr<boost::asio::io_context> context)
    : context_(std::move(context)), executor_(boost::asio::make_strand(*context_)) {}

void AsioStrand::Post(Task task) {
  // The task may run, and destroy this strand and the loop, before post() returns.
  const std::shared_ptr<boost::asio::io_context> held = context_;
  boost::asio::post(executor_, std::move(task));
}

std::unique_ptr<Strand::Timer> AsioStrand::RunAfter(absl::Duration delay, Task task) {
  return std::make_unique<AsioTimer>(executor_, delay, std::move(task));
}

class EventLoop::Context : public boost::asio::io_context {
 public:
  using io_context::io_context;

  // Destroys queued tasks, which may hold strands and so this context.
  void DropTasks() { shutdown(); }
};

EventLoop::EventLoop(int num_threads) : aside_(std::make_shared<Context>()) {
  constexpr int kOneThread = 1;  // tells Asio that none of its threads need be woken by another
  for (int i = 0; i < num_threads; ++i) contexts_.push_back(std::make_shared<Context>(kOneThread));
}

EventLoop::~EventLoop() { Stop(); }

absl::Status EventLoop::Start(const StartOptions& options) {
  const auto run = [this](boost::asio::io_context& context, const char* name) {
    std::thread& thread = threads_.emplace_back([&context] {
      const auto work = boost::asio::make_work_guard(context);
      context.run();
    });
    pthread_setname_np(thread.native_handle(), name);
    return thread.native_handle();
  };
  absl::Status status;
  for (const auto& context : contexts_) {
    const pthread_t thread = run(*context, "gateway");
    if (options.is_realtime) status.Update(MakeRealtime(thread));
    run(*aside_, "gateway-aside");
  }
  return status;
}

void EventLoop::Stop() {
  aside_->stop();
  for (const auto& context : contexts_) context->stop();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  aside_->DropTasks();
  for (const auto& context : contexts_) static_cast<Context&>(*context).DropTasks();
}

std::shared_ptr<Strand> EventLoop::NewStrand() {
  return std::make_shared<AsioStrand>(NextContext());
}

const std::shared_ptr<boost::asio::io_context>& EventLoop::NextContext() {
  return contexts_[next_context_.fetch_add(1, std::memory_order_relaxed) % contexts_.size()];
}

void EventLoop::RunAside(Task task) { boost::asio::post(*aside_, std::move(task)); }

}  // namespace tandem
