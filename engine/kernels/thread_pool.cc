#include "engine/kernels/thread_pool.h"

#include <pthread.h>
#include <sched.h>

#include "absl/strings/str_cat.h"
#include "engine/core/log.h"
#include "engine/core/status_macros.h"

namespace tandem {
namespace {

// About 20 microseconds: longer than the gap between two operations of a layer, shorter than a
// time slice that another instance on this core would miss.
constexpr int kSpins = 500;

void Pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Returns once `value` differs from `old`: spins, then sleeps.
void WaitWhile(const std::atomic<uint32_t>& value, uint32_t old) {
  for (int i = 0; i < kSpins; ++i) {
    if (value.load(std::memory_order_acquire) != old) return;
    Pause();
  }
  value.wait(old, std::memory_order_acquire);
}

absl::Status PinThread(pthread_t thread, int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (cpu >= 0 && cpu < CPU_SETSIZE) CPU_SET(cpu, &set);
  if (pthread_setaffinity_np(thread, sizeof(set), &set) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot pin a thread to CPU ", cpu, ": this process may not run there"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<ThreadPool>> ThreadPool::Create(int num_threads,
                                                               const std::vector<int>& cpus) {
  if (num_threads < 1) {
    return absl::InvalidArgumentError(absl::StrCat("num_threads is ", num_threads, ", not >= 1"));
  }
  std::unique_ptr<ThreadPool> pool(new ThreadPool(num_threads));
  pool->Start();
  if (!cpus.empty()) RETURN_IF_ERROR(pool->Pin(cpus));
  return pool;
}

void ThreadPool::Start() {
  threads_.reserve(num_threads_ - 1);
  for (int i = 1; i < num_threads_; ++i) {
    threads_.emplace_back([this, i] { WorkerLoop(i); });
  }
}

absl::Status ThreadPool::Pin(const std::vector<int>& cpus) {
  for (int i = 1; i < num_threads_; ++i) {
    RETURN_IF_ERROR(PinThread(threads_[i - 1].native_handle(), cpus[i % cpus.size()]));
  }
  return PinThread(pthread_self(), cpus[0]);
}

void ThreadPool::ParallelFor(int64_t num_tasks, Task task) {
  if (num_tasks <= 1 || threads_.empty()) {
    for (int64_t i = 0; i < num_tasks; ++i) task(i, 0);
    return;
  }
  task_ = &task;
  num_tasks_ = num_tasks;
  next_task_.store(0, std::memory_order_relaxed);
  gate_.fetch_or(kOpen, std::memory_order_release);  // a late thread may still be counted
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();

  RunTasks(0);
  gate_.fetch_and(~kOpen, std::memory_order_acq_rel);
  WaitUntilEmpty();
}

void ThreadPool::RunTasks(int thread) {
  while (true) {
    const int64_t i = next_task_.fetch_add(1, std::memory_order_relaxed);
    if (i >= num_tasks_) return;
    (*task_)(i, thread);
  }
}

void ThreadPool::WaitUntilEmpty() {
  while (true) {
    const uint32_t inside = gate_.load(std::memory_order_acquire);
    if (inside == 0) return;
    WaitWhile(gate_, inside);
  }
}

void ThreadPool::WorkerLoop(int thread) {
  uint32_t seen = 0;
  while (true) {
    WaitWhile(generation_, seen);
    seen = generation_.load(std::memory_order_acquire);
    if (stopping_.load(std::memory_order_acquire)) return;
    // A thread that comes late finds the gate shut and must not touch the operation: the caller
    // may be writing the next one.
    if (gate_.fetch_add(1, std::memory_order_acq_rel) & kOpen) RunTasks(thread);
    if (gate_.fetch_sub(1, std::memory_order_acq_rel) == 1) gate_.notify_one();
  }
}

void ThreadPool::Stop() {
  if (threads_.empty()) return;
  stopping_.store(true, std::memory_order_release);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

}  // namespace tandem
