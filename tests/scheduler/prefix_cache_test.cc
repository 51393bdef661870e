#include "scheduler/prefix_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>

namespace tandem {
namespace {

using ::testing::ElementsAre;
using ::testing::Optional;

const std::vector<TokenId> kA = {1, 2}, kB = {3, 4}, kC = {5, 6};

TEST(PrefixCacheTest, FindsBlocksBehindTheirPrefixOnly) {
  PrefixCache cache;
  PrefixChain chain = PrefixChain::Root(0);
  EXPECT_TRUE(cache.Insert(kA, 2, &chain));
  EXPECT_TRUE(cache.Insert(kB, 0, &chain));
  EXPECT_EQ(chain.num_blocks, 2);

  PrefixChain found = PrefixChain::Root(0);
  EXPECT_THAT(cache.Find(kA, &found), Optional(2));
  EXPECT_THAT(cache.Find(kB, &found), Optional(0));
  EXPECT_EQ(found.num_blocks, 2);
  EXPECT_EQ(cache.Find(kC, &found), std::nullopt);
  EXPECT_EQ(found.num_blocks, 2);
  PrefixChain root = PrefixChain::Root(0), salted = PrefixChain::Root(1);
  EXPECT_EQ(cache.Find(kB, &root), std::nullopt);
  EXPECT_EQ(cache.Find(kA, &salted), std::nullopt);
}

TEST(PrefixCacheTest, KeepsTheFirstOfTwoBlocksThatHoldTheSame) {
  PrefixCache cache;
  PrefixChain first = PrefixChain::Root(0), second = PrefixChain::Root(0);
  EXPECT_TRUE(cache.Insert(kA, 0, &first));
  EXPECT_FALSE(cache.Insert(kA, 1, &second));
  EXPECT_EQ(second.num_blocks, 1);
  EXPECT_TRUE(cache.Insert(kB, 2, &second));
  EXPECT_THAT(cache.Find(kB, &first), Optional(2));
  EXPECT_FALSE(cache.Contains(1));
}

TEST(PrefixCacheTest, GivesUpWhatWasUnusedForLongest) {
  PrefixCache cache;
  PrefixChain chain = PrefixChain::Root(0);
  cache.Insert(kA, 0, &chain);
  cache.Insert(kB, 1, &chain);
  cache.Insert(kC, 2, &chain);
  for (BlockId block : {2, 1, 0}) cache.SetUnused(block);
  cache.SetUsed(2);
  cache.SetUnused(2);
  EXPECT_EQ(cache.num_unused(), 3);
  EXPECT_EQ(cache.TakeOldest(), 1);
  EXPECT_EQ(cache.TakeOldest(), 0);
  EXPECT_EQ(cache.TakeOldest(), 2);
  EXPECT_EQ(cache.size(), 0);
}

TEST(PrefixCacheTest, FindsNothingBehindWhatWasGivenUp) {
  PrefixCache cache;
  PrefixChain chain = PrefixChain::Root(0);
  cache.Insert(kA, 0, &chain);
  const PrefixChain behind_a = chain;
  cache.Insert(kB, 1, &chain);
  cache.SetUnused(0);
  EXPECT_EQ(cache.TakeOldest(), 0);

  PrefixChain dead = behind_a;
  EXPECT_FALSE(cache.Insert(kC, 2, &dead));
  EXPECT_EQ(dead.num_blocks, 1);
  // The same tokens again, as another entry: what stood behind the first does not stand behind it.
  PrefixChain again = PrefixChain::Root(0);
  EXPECT_TRUE(cache.Insert(kA, 3, &again));
  EXPECT_EQ(cache.Find(kB, &again), std::nullopt);
}

TEST(PrefixCacheTest, AgreesWithAMapOfPrefixes) {
  std::mt19937 random(1);
  PrefixCache cache;
  std::map<std::vector<TokenId>, BlockId> model;  // by all tokens up to the block's end
  std::vector<BlockId> unused;                    // of the model's blocks, oldest first
  std::vector<BlockId> spare(30);
  for (int i = 0; i < 30; ++i) spare[i] = i;
  for (int step = 0; step < 20000; ++step) {
    if (spare.empty() || (!unused.empty() && random() % 4 == 0)) {
      const BlockId block = cache.TakeOldest();
      ASSERT_EQ(block, unused.front());
      unused.erase(unused.begin());
      const auto gone = std::find_if(model.begin(), model.end(),
                                     [&](const auto& entry) { return entry.second == block; });
      // The model forgets what stood behind it: nobody can get there. The cache does so one by one.
      ASSERT_NE(gone, model.end());
      model.erase(gone);
      spare.push_back(block);
      continue;
    }
    // A walk as far as it is known, then one block more. Unused from the last to the first.
    std::vector<TokenId> tokens;
    std::vector<BlockId> walked;
    PrefixChain chain = PrefixChain::Root(0);
    while (true) {
      const std::vector<TokenId> next = {TokenId(random() % 2), 9};
      tokens.insert(tokens.end(), next.begin(), next.end());
      const auto known = model.find(tokens);
      const std::optional<BlockId> found = cache.Find(next, &chain);
      if (found) {
        ASSERT_NE(known, model.end());
        ASSERT_EQ(*found, known->second);
        walked.push_back(*found);
        continue;
      }
      if (known == model.end() && cache.Insert(next, spare.back(), &chain)) {
        model[tokens] = spare.back();
        walked.push_back(spare.back());
        spare.pop_back();
      }
      break;
    }
    std::reverse(walked.begin(), walked.end());
    for (BlockId block : walked) {
      unused.erase(std::remove(unused.begin(), unused.end(), block), unused.end());
      unused.push_back(block);
      cache.SetUnused(block);
    }
    ASSERT_EQ(cache.size(), static_cast<int>(model.size()));
    ASSERT_EQ(cache.num_unused(), static_cast<int>(unused.size()));
  }
}

}  // namespace
}  // namespace tandem
