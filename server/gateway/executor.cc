#include "server/gateway/executor.h"

#include <utility>

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
  // Destroys queued tasks, which may hold strands and so this context.
  void DropTasks() { shutdown(); }
};

EventLoop::EventLoop() : context_(std::make_shared<Context>()) {}

EventLoop::~EventLoop() { Stop(); }

void EventLoop::Start(int num_threads) {
  for (int i = 0; i < num_threads; ++i) {
    threads_.emplace_back([this] {
      const auto work = boost::asio::make_work_guard(*context_);
      context_->run();
    });
  }
}

void EventLoop::Stop() {
  context_->stop();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  static_cast<Context&>(*context_).DropTasks();
}

std::shared_ptr<Strand> EventLoop::NewStrand() { return std::make_shared<AsioStrand>(context_); }

}  // namespace tandem
