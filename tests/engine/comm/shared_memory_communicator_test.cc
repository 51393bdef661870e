#include "engine/comm/shared_memory_communicator.h"

#include <memory>
#include <random>
#include <vector>

#include "engine/comm/shared_memory.h"
#include "gtest/gtest.h"
#include "tests/testing/child_process.h"

namespace tandem {
namespace {

std::vector<float> RandomData(int rank, int round, size_t size) {
  std::mt19937 random(1000 * round + rank);
  std::normal_distribution<float> normal;
  std::vector<float> data(size);
  for (float& value : data) value = normal(random) * static_cast<float>(1 + rank);
  return data;
}

// Sizes on both sides of a chunk of 16,384, and none at all.
constexpr size_t kSizes[] = {1, 576, 16384, 0, 16385, 70000, 3};

// Whether every sum is, to the bit, what adding in the order of ranks gives.
int CheckSums(uint8_t* memory, int rank, int size, int num_rounds, const PeerWaiter& waiter) {
  SharedMemoryCommunicator group(memory, rank, size, waiter);
  for (int round = 0; round < num_rounds; ++round) {
    const size_t count = kSizes[round % std::size(kSizes)];
    std::vector<float> data = RandomData(rank, round, count);
    if (!group.AllReduceSum(absl::MakeSpan(data)).ok()) return 2;
    std::vector<float> expected = RandomData(0, round, count);
    for (int other = 1; other < size; ++other) {
      const std::vector<float> part = RandomData(other, round, count);
      for (size_t i = 0; i < count; ++i) expected[i] += part[i];
    }
    if (data != expected) return 1;
  }
  return 0;
}

TEST(SharedMemoryCommunicatorTest, EveryRankHasTheSumInTheOrderOfRanks) {
  constexpr int kRounds = 40;
  for (const int size : {2, 3, 5}) {
    const auto memory = *SharedMemory::Create(SharedMemoryCommunicator::Bytes(size));
    std::vector<std::unique_ptr<ChildProcess>> ranks;
    for (int rank = 1; rank < size; ++rank) {
      ranks.push_back(std::make_unique<ChildProcess>(
          [&] { return CheckSums(memory->data(), rank, size, kRounds, PeerWaiter()); }));
    }
    EXPECT_EQ(CheckSums(memory->data(), 0, size, kRounds, PeerWaiter()), 0);
    for (const auto& rank : ranks) EXPECT_EQ(rank->Join(), 0) << "of " << size;
  }
}

TEST(SharedMemoryCommunicatorTest, ADeadRankEndsTheWait) {
  const auto memory = *SharedMemory::Create(SharedMemoryCommunicator::Bytes(2));
  ChildProcess other([&] {
    const PeerWaiter waiter;
    SharedMemoryCommunicator group(memory->data(), 1, 2, waiter);
    std::vector<float> data(576, 2.0f);
    return group.AllReduceSum(absl::MakeSpan(data)).ok() ? 0 : 1;
  });
  const PeerWaiter waiter([&] {
    return other.HasEnded() ? absl::UnavailableError("rank 1 is gone") : absl::OkStatus();
  });
  SharedMemoryCommunicator group(memory->data(), 0, 2, waiter);
  std::vector<float> data(576, 1.0f);
  ASSERT_TRUE(group.AllReduceSum(absl::MakeSpan(data)).ok());
  EXPECT_EQ(data, std::vector<float>(576, 3.0f));
  EXPECT_EQ(group.AllReduceSum(absl::MakeSpan(data)).code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace tandem
