// A fixed set of threads that share out the tasks of one operation at a time.
//
//   pool->ParallelFor(num_tiles, [&](int64_t tile, int thread) { Compute(tile, scratch[thread]);
//   });
//
// Operations follow each other within microseconds, so idle threads spin briefly before they sleep;
// briefly, because instances may share cores. The caller works too and never waits for a thread
// that has not started on the operation yet.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"

namespace tandem {

// One caller at a time.
class ThreadPool {
 public:
  using Task = absl::FunctionRef<void(int64_t task, int thread)>;

  // `num_threads` >= 1 counts the caller, which is thread 0. Thread i is pinned to cpus[i %
  // size]; the caller is taken to be the thread that calls Create. INVALID_ARGUMENT names a CPU
  // that the process may not use.
  static absl::StatusOr<std::unique_ptr<ThreadPool>> Create(int num_threads,
                                                            const std::vector<int>& cpus);
  ~ThreadPool() { Stop(); }
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const { return num_threads_; }

  // Calls task(i, thread) once for every i in [0, num_tasks), thread in [0, num_threads()), and
  // returns when all calls have. Allocates nothing. A task must not call back into the pool.
  void ParallelFor(int64_t num_tasks, Task task);

  // Joins the threads; what follows runs on the caller alone.
  void Stop();

 private:
  // While the gate is open, threads enter the operation; the low bits count those inside.
  static constexpr uint32_t kOpen = 1u << 31;

  explicit ThreadPool(int num_threads) : num_threads_(num_threads) {}
  void Start();
  absl::Status Pin(const std::vector<int>& cpus);
  void WorkerLoop(int thread);
  void RunTasks(int thread);
  void WaitUntilEmpty();

  const int num_threads_;
  std::vector<std::thread> threads_;  // owner thread only

  // The operation: written before the gate opens, read only inside it.
  const Task* task_ = nullptr;
  int64_t num_tasks_ = 0;

  alignas(64) std::atomic<int64_t> next_task_{0};
  alignas(64) std::atomic<uint32_t> gate_{0};
  alignas(64) std::atomic<uint32_t> generation_{0};  // raised with every operation; wakes sleepers
  std::atomic<bool> stopping_{false};
};

}  // namespace tandem
