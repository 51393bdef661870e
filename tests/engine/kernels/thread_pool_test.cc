#include "engine/kernels/thread_pool.h"

#include <sched.h>

#include <atomic>
#include <numeric>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tandem {
namespace {

std::unique_ptr<ThreadPool> MakePool(int num_threads) {
  return *ThreadPool::Create(num_threads, {});
}

TEST(ThreadPoolTest, RunsEachTaskOnceWhateverTheThreadCount) {
  for (const int num_threads : {1, 2, 3, 8}) {
    const std::unique_ptr<ThreadPool> pool = MakePool(num_threads);
    for (const int num_tasks : {0, 1, 2, 7, 100}) {
      std::vector<std::atomic<int>> calls(num_tasks);
      pool->ParallelFor(num_tasks, [&](int64_t i, int thread) {
        EXPECT_GE(thread, 0);
        EXPECT_LT(thread, num_threads);
        calls[i].fetch_add(1, std::memory_order_relaxed);
      });
      for (const std::atomic<int>& count : calls) EXPECT_EQ(count.load(), 1);
    }
  }
}

TEST(ThreadPoolTest, ResultsOfOneOperationAreVisibleToTheNext) {
  const std::unique_ptr<ThreadPool> pool = MakePool(3);
  std::vector<int64_t> values(64, 0);
  for (int round = 0; round < 2000; ++round) {
    pool->ParallelFor(64, [&](int64_t i, int) { values[i] += i; });  // each by any thread
  }
  for (int64_t i = 0; i < 64; ++i) EXPECT_EQ(values[i], 2000 * i);
}

TEST(ThreadPoolTest, ThreadsNeverShareAnIndex) {
  const std::unique_ptr<ThreadPool> pool = MakePool(4);
  std::vector<int64_t> sums(4, 0);  // plain: TSan tells if two threads use one index
  for (int round = 0; round < 200; ++round) {
    pool->ParallelFor(50, [&](int64_t i, int thread) { sums[thread] += i; });
  }
  EXPECT_EQ(std::accumulate(sums.begin(), sums.end(), int64_t{0}), 200 * 49 * 50 / 2);
}

TEST(ThreadPoolTest, RunsOnTheCallerAfterStop) {
  const std::unique_ptr<ThreadPool> pool = MakePool(3);
  pool->Stop();
  int calls = 0;
  pool->ParallelFor(5, [&](int64_t, int thread) {
    EXPECT_EQ(thread, 0);
    ++calls;
  });
  EXPECT_EQ(calls, 5);
  pool->Stop();
}

TEST(ThreadPoolTest, PinsThreadsToTheGivenCpus) {
  cpu_set_t before;
  ASSERT_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
  int allowed = 0;
  while (!CPU_ISSET(allowed, &before)) ++allowed;

  const auto pool = ThreadPool::Create(2, {allowed});
  ASSERT_TRUE(pool.ok()) << pool.status();
  (*pool)->ParallelFor(20, [&](int64_t, int) { EXPECT_EQ(sched_getcpu(), allowed); });
  ASSERT_EQ(sched_setaffinity(0, sizeof(before), &before), 0);
}

TEST(ThreadPoolTest, NamesCpuThatCannotBeUsed) {
  for (const int cpu : {-1, 1023, 1 << 20}) {
    const auto pool = ThreadPool::Create(2, {cpu});
    ASSERT_FALSE(pool.ok());
    EXPECT_EQ(pool.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(pool.status().message()), testing::HasSubstr(std::to_string(cpu)));
  }
}

TEST(ThreadPoolTest, RefusesLessThanOneThread) {
  EXPECT_EQ(ThreadPool::Create(0, {}).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace tandem
