#include "scheduler/block_manager.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <random>

namespace tandem {
namespace {

using ::testing::ElementsAre;

int Count(const BlockManager& blocks, BlockState state) {
  return blocks.counts()[static_cast<int>(state)];
}

TEST(BlockManagerTest, StartsWithAllBlocksFree) {
  const BlockManager blocks(8, 16);
  EXPECT_EQ(blocks.num_free(), 8);
  EXPECT_TRUE(blocks.CheckLedger().ok());
  EXPECT_EQ(blocks.NumBlocks(0), 0);
  EXPECT_EQ(blocks.NumBlocks(16), 1);
  EXPECT_EQ(blocks.NumBlocks(17), 2);
}

TEST(BlockManagerTest, APoolLargerThanAnyMemoryCostsOnlyWhatIsUsedOfIt) {
  constexpr int kHuge = std::numeric_limits<int>::max();
  BlockManager blocks(kHuge, 16);
  std::vector<BlockId> table;
  ASSERT_TRUE(blocks.Allocate(3, BlockState::kRunning, &table));
  EXPECT_THAT(table, ElementsAre(0, 1, 2));
  EXPECT_EQ(blocks.num_free(), kHuge - 3);
  EXPECT_EQ(blocks.state(kHuge - 1), BlockState::kFree);
  EXPECT_TRUE(blocks.CheckState({{kHuge - 1}}, BlockState::kFree).ok());
  EXPECT_EQ(blocks.Move({{kHuge - 1}}, BlockState::kRunning, BlockState::kFree).message(),
            "block 2147483646 is free, not running");
  ASSERT_TRUE(blocks.Move(table, BlockState::kRunning, BlockState::kFree).ok());
  EXPECT_TRUE(blocks.CheckLedger().ok());
}

TEST(BlockManagerTest, CountsEachStateAsBlocksMove) {
  BlockManager blocks(8, 16);
  std::vector<BlockId> table;
  ASSERT_TRUE(blocks.Allocate(3, BlockState::kRunning, &table));
  ASSERT_TRUE(blocks.Move(table, BlockState::kRunning, BlockState::kLeasedOut).ok());
  EXPECT_EQ(Count(blocks, BlockState::kLeasedOut), 3);
  EXPECT_EQ(Count(blocks, BlockState::kRunning), 0);
  EXPECT_EQ(blocks.num_free(), 5);
  ASSERT_TRUE(blocks.Move(table, BlockState::kLeasedOut, BlockState::kFree).ok());
  EXPECT_EQ(blocks.num_free(), 8);
}

TEST(BlockManagerTest, ChangesNothingWhenTooFewAreFree) {
  BlockManager blocks(4, 16);
  std::vector<BlockId> table;
  ASSERT_TRUE(blocks.Allocate(3, BlockState::kRunning, &table));
  std::vector<BlockId> other;
  EXPECT_FALSE(blocks.Allocate(2, BlockState::kRunning, &other));
  EXPECT_TRUE(other.empty());
  EXPECT_EQ(blocks.num_free(), 1);
}

TEST(BlockManagerTest, PrefersTheSmallestRunThatHoldsAll) {
  BlockManager blocks(12, 16);
  std::vector<BlockId> all;
  ASSERT_TRUE(blocks.Allocate(12, BlockState::kRunning, &all));
  // Free runs: [1, 2] and [5, 9].
  ASSERT_TRUE(blocks.Move({1, 2, 5, 6, 7, 8, 9}, BlockState::kRunning, BlockState::kFree).ok());
  std::vector<BlockId> two, four, three;
  ASSERT_TRUE(blocks.Allocate(2, BlockState::kRunning, &two));
  EXPECT_THAT(two, ElementsAre(1, 2));
  ASSERT_TRUE(blocks.Allocate(4, BlockState::kRunning, &four));
  EXPECT_THAT(four, ElementsAre(5, 6, 7, 8));
}

TEST(BlockManagerTest, ContinuesTheTablesLastBlockWhereItCan) {
  BlockManager blocks(12, 16);
  std::vector<BlockId> all;
  ASSERT_TRUE(blocks.Allocate(12, BlockState::kRunning, &all));
  ASSERT_TRUE(blocks.Move({2, 5, 6, 7}, BlockState::kRunning, BlockState::kFree).ok());
  std::vector<BlockId> table = {4};
  ASSERT_TRUE(blocks.Allocate(1, BlockState::kRunning, &table));
  EXPECT_THAT(table, ElementsAre(4, 5));  // although the run at 2 is smaller
}

TEST(BlockManagerTest, UsesLongestRunsFirstWhenNoneHoldsAll) {
  BlockManager blocks(12, 16);
  std::vector<BlockId> all, table;
  ASSERT_TRUE(blocks.Allocate(12, BlockState::kRunning, &all));
  ASSERT_TRUE(blocks.Move({0, 2, 3, 4, 8, 9}, BlockState::kRunning, BlockState::kFree).ok());
  ASSERT_TRUE(blocks.Allocate(5, BlockState::kRunning, &table));
  EXPECT_THAT(table, ElementsAre(2, 3, 4, 8, 9));
}

TEST(BlockManagerTest, JoinsFreedBlocksIntoOneRun) {
  BlockManager blocks(6, 16);
  std::vector<BlockId> all, table;
  ASSERT_TRUE(blocks.Allocate(6, BlockState::kRunning, &all));
  for (BlockId block : {4, 0, 2, 3, 1, 5}) {
    ASSERT_TRUE(blocks.Move({block}, BlockState::kRunning, BlockState::kFree).ok());
  }
  ASSERT_TRUE(blocks.Allocate(6, BlockState::kReceiving, &table));
  EXPECT_THAT(table, ElementsAre(0, 1, 2, 3, 4, 5));
}

TEST(BlockManagerTest, MovesNothingWhenOneBlockIsInAnotherState) {
  BlockManager blocks(4, 16);
  std::vector<BlockId> table;
  ASSERT_TRUE(blocks.Allocate(2, BlockState::kRunning, &table));
  const absl::Status status = blocks.Move({0, 1, 2}, BlockState::kRunning, BlockState::kFree);
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(status.message(), "block 2 is free, not running");
  EXPECT_EQ(Count(blocks, BlockState::kRunning), 2);
  EXPECT_EQ(blocks.Move({7}, BlockState::kRunning, BlockState::kFree).message(),
            "block 7 is outside the pool of 4");
  EXPECT_TRUE(blocks.CheckLedger().ok());
}

TEST(BlockManagerTest, NoticesBlocksFreedTwiceInOneCall) {
  BlockManager blocks(4, 16);
  std::vector<BlockId> table;
  ASSERT_TRUE(blocks.Allocate(2, BlockState::kRunning, &table));
  const absl::Status status = blocks.Move({0, 0}, BlockState::kRunning, BlockState::kFree);
  EXPECT_EQ(status.message(), "block 0 is named twice");
}

// The longest run of free blocks of a naive model.
int LongestFreeRun(const std::vector<BlockState>& states) {
  int longest = 0, run = 0;
  for (BlockState state : states) {
    run = state == BlockState::kFree ? run + 1 : 0;
    longest = std::max(longest, run);
  }
  return longest;
}

TEST(BlockManagerTest, AgreesWithNaiveModelOverRandomOperations) {
  std::mt19937 random(1);
  BlockManager blocks(50, 16);
  std::vector<BlockState> model(50, BlockState::kFree);
  std::vector<std::pair<std::vector<BlockId>, BlockState>> tables;
  for (int step = 0; step < 20000; ++step) {
    if (tables.empty() || random() % 2 == 0) {
      const int count = static_cast<int>(random() % 12);
      std::vector<BlockId> table;
      const auto state = random() % 2 == 0 ? BlockState::kRunning : BlockState::kReceiving;
      const int num_free =
          static_cast<int>(std::count(model.begin(), model.end(), BlockState::kFree));
      ASSERT_EQ(blocks.Allocate(count, state, &table), count <= num_free);
      if (table.empty()) continue;
      ASSERT_EQ(static_cast<int>(table.size()), count);
      if (count <= LongestFreeRun(model)) {
        EXPECT_EQ(table.back() - table.front(), count - 1) << "one run was free";
      }
      for (BlockId block : table) {
        ASSERT_EQ(model[block], BlockState::kFree);
        model[block] = state;
      }
      tables.emplace_back(table, state);
    } else {
      auto& [table, state] = tables[random() % tables.size()];
      const auto to = static_cast<BlockState>(random() % kNumBlockStates);
      if (to == BlockState::kCached) continue;                     // nobody's use
      if (to != BlockState::kFree && random() % 2 == 0) continue;  // keeps some room free
      ASSERT_TRUE(blocks.Move(table, state, to).ok());
      for (BlockId block : table) model[block] = to;
      state = to;
      if (to == BlockState::kFree) {
        std::swap(tables.back().first, table);
        std::swap(tables.back().second, state);
        tables.pop_back();
      }
    }
    ASSERT_TRUE(blocks.CheckLedger().ok()) << blocks.CheckLedger();
    for (int i = 0; i < kNumBlockStates; ++i) {
      const auto state = static_cast<BlockState>(i);
      ASSERT_EQ(Count(blocks, state), std::count(model.begin(), model.end(), state));
    }
    for (BlockId block = 0; block < 50; ++block) ASSERT_EQ(blocks.state(block), model[block]);
  }
}

}  // namespace
}  // namespace tandem
