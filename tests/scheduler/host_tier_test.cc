#include "scheduler/host_tier.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

namespace tandem {
namespace {

TEST(HostTierTest, TakesNothingThatItHasNoRoomFor) {
  HostTier tier(2);
  std::vector<BlockId> table;
  std::vector<BlockCopy> copies;
  EXPECT_FALSE(tier.SwapOut({4, 5, 6}, &table, &copies));
  EXPECT_TRUE(table.empty() && copies.empty());
  EXPECT_TRUE(tier.SwapOut({4, 5}, &table, &copies));
  EXPECT_EQ(tier.counts().free, 0);
  EXPECT_EQ(tier.counts().swapped, 2);
}

TEST(HostTierTest, BringsBackTheLastBlocksAndFreesAll) {
  HostTier tier(4);
  std::vector<BlockId> table;
  std::vector<BlockCopy> copies;
  ASSERT_TRUE(tier.SwapOut({4, 5, 6}, &table, &copies));
  const std::vector<BlockId> hosts = table;
  copies.clear();
  tier.SwapIn({8, 9}, &table, &copies);
  ASSERT_EQ(copies.size(), 2u);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(copies[i].direction, CopyDirection::kIn);
    EXPECT_EQ(copies[i].block, 8 + i);
    EXPECT_EQ(copies[i].host_block, hosts[i + 1]);
  }
  EXPECT_TRUE(table.empty());
  EXPECT_EQ(tier.counts().free, 4);
}

// What the tier holds is played by a map from host block to the content copied there.
TEST(HostTierTest, KeepsWhatEachTableHoldsOverRandomOperations) {
  std::mt19937 random(7);
  constexpr int kNumBlocks = 40;
  HostTier tier(kNumBlocks);
  struct Sequence {
    std::vector<BlockId> blocks, table;
  };
  std::vector<Sequence> sequences;
  std::map<BlockId, BlockId> content;
  BlockId next_block = 0;
  int num_refused = 0;
  for (int i = 0; i < 20000; ++i) {
    std::vector<BlockCopy> copies;
    if (random() % 2 == 0) {
      Sequence sequence;
      const int count = 1 + static_cast<int>(random() % 8);
      for (int j = 0; j < count; ++j) sequence.blocks.push_back(next_block++);
      const int num_free = tier.counts().free;
      const bool taken = tier.SwapOut(sequence.blocks, &sequence.table, &copies);
      ASSERT_EQ(taken, count <= num_free);
      num_refused += taken ? 0 : 1;
      if (taken) sequences.push_back(sequence);
    } else if (!sequences.empty()) {
      const size_t index = random() % sequences.size();
      Sequence sequence = std::move(sequences[index]);
      sequences.erase(sequences.begin() + static_cast<std::ptrdiff_t>(index));
      if (random() % 4 == 0) {
        tier.Free(&sequence.table);
      } else {
        // Copies go to the blocks that the content came from, as names of it.
        const size_t skip = random() % (sequence.blocks.size() + 1);
        tier.SwapIn(absl::MakeConstSpan(sequence.blocks).subspan(skip), &sequence.table, &copies);
        ASSERT_EQ(copies.size(), sequence.blocks.size() - skip);
      }
      ASSERT_TRUE(sequence.table.empty());
    }
    for (const BlockCopy& copy : copies) {
      if (copy.direction == CopyDirection::kOut) {
        content[copy.host_block] = copy.block;
      } else {
        ASSERT_EQ(content[copy.host_block], copy.block);
      }
    }
    std::set<BlockId> held;
    for (const Sequence& sequence : sequences) {
      for (size_t j = 0; j < sequence.table.size(); ++j) {
        ASSERT_TRUE(held.insert(sequence.table[j]).second) << "held twice";
        ASSERT_EQ(content[sequence.table[j]], sequence.blocks[j]);
      }
    }
    ASSERT_TRUE(tier.CheckLedger().ok()) << tier.CheckLedger();
    ASSERT_EQ(tier.counts().swapped, static_cast<int>(held.size()));
    ASSERT_EQ(tier.counts().free, kNumBlocks - static_cast<int>(held.size()));
  }
  EXPECT_GT(num_refused, 500);
}

}  // namespace
}  // namespace tandem
