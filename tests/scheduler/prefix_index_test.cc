#include "scheduler/prefix_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

namespace tandem {
namespace {

using ::testing::ElementsAre;

std::vector<int> Nearest(const PrefixIndex& index, const std::vector<uint64_t>& keys, int limit) {
  std::vector<int> slots;
  index.AppendNearest(keys, limit, &slots);
  return slots;
}

TEST(PrefixIndexTest, FindsWhoHoldsMostOfAPrompt) {
  PrefixIndex index(1000);
  index.Apply({.added = {1, 2}}, 0);
  index.Apply({.added = {1, 2, 3}}, 1);
  index.Apply({.added = {7}}, 2);
  EXPECT_THAT(Nearest(index, {1, 2, 3, 4}, 8), ElementsAre(1, 0));
  EXPECT_THAT(Nearest(index, {1, 2, 3, 4}, 1), ElementsAre(1));
  EXPECT_THAT(Nearest(index, {9, 8}, 8), ElementsAre());
  EXPECT_EQ(index.NumHeld(0, {1, 2, 3, 4}), 2);
  EXPECT_EQ(index.NumHeld(1, {1, 2, 3, 4}), 3);
  EXPECT_EQ(index.NumHeld(2, {1, 2, 3, 4}), 0);
  EXPECT_EQ(index.NumHeld(9, {1}), 0) << "has told nothing";
  EXPECT_EQ(index.NumHeldByAny({1, 2, 3, 4}), 3);
  EXPECT_EQ(index.NumHeldByAny({8, 9}), 0);
}

TEST(PrefixIndexTest, ForgetsWhatWasGivenUpAndWhoHasGone) {
  PrefixIndex index(1000);
  index.Apply({.added = {1, 2}}, 0);
  index.Apply({.added = {1}}, 1);
  index.Apply({.removed = {2, 5}}, 0);
  EXPECT_EQ(index.NumHeld(0, {1, 2}), 1);
  index.Drop(0);
  EXPECT_THAT(Nearest(index, {1, 2}, 8), ElementsAre(1));
  index.Apply({.restart = true, .added = {3}}, 1);
  EXPECT_THAT(Nearest(index, {1, 2}, 8), ElementsAre());
  EXPECT_EQ(index.num_entries(), 1);
}

TEST(PrefixIndexTest, IsBounded) {
  PrefixIndex index(3);
  index.Apply({.added = {1, 2}}, 0);
  index.Apply({.added = {1, 2}}, 1);
  EXPECT_EQ(index.num_entries(), 3);
  EXPECT_EQ(index.NumHeld(1, {1, 2}), 1);
  index.Drop(0);
  index.Apply({.added = {2}}, 1);
  EXPECT_EQ(index.NumHeld(1, {1, 2}), 2);
}

TEST(PrefixIndexTest, OfManyEqualOnesDifferentPromptsTakeDifferentOnes) {
  PrefixIndex index(1000);
  for (int slot = 0; slot < 10; ++slot) index.Apply({.added = {1}}, slot);
  EXPECT_THAT(Nearest(index, {1, 20}, 2), ElementsAre(0, 1));
  EXPECT_THAT(Nearest(index, {1, 29}, 2), ElementsAre(9, 0));
}

// Instances hold beginnings of chains, as caches do, and a naive search finds the same.
TEST(PrefixIndexTest, AgreesWithASearchOfAllInstances) {
  std::mt19937 random(11);
  constexpr int kNumInstances = 6;
  constexpr int kLength = 12;
  PrefixIndex index(100000);
  std::map<int, std::map<uint64_t, int>> held;  // slot -> chain -> length
  const auto keys_of = [](uint64_t chain) {
    std::vector<uint64_t> keys;
    for (uint64_t i = 1; i <= kLength; ++i) keys.push_back(chain * 1000 + i);
    return keys;
  };
  for (int i = 0; i < 5000; ++i) {
    const int slot = static_cast<int>(random() % kNumInstances);
    const uint64_t chain = random() % 5;
    const std::vector<uint64_t> keys = keys_of(chain);
    int& length = held[slot][chain];
    const int next = static_cast<int>(random() % (kLength + 1));
    PrefixChanges changes;
    for (int k = length; k < next; ++k) changes.added.push_back(keys[k]);
    for (int k = next; k < length; ++k) changes.removed.push_back(keys[k]);
    length = next;
    index.Apply(changes, slot);

    const std::vector<uint64_t> prompt = keys_of(random() % 5);
    std::map<int, std::set<int>, std::greater<>> by_length;
    for (int s = 0; s < kNumInstances; ++s) {
      const int expected = held[s][prompt[0] / 1000];
      EXPECT_EQ(index.NumHeld(s, prompt), expected);
      if (expected > 0) by_length[expected].insert(s);
    }
    const std::vector<int> nearest = Nearest(index, prompt, kNumInstances);
    size_t place = 0;
    for (const auto& [l, slots] : by_length) {
      ASSERT_LE(place + slots.size(), nearest.size());
      const auto begin = nearest.begin() + static_cast<std::ptrdiff_t>(place);
      EXPECT_EQ(std::set<int>(begin, begin + static_cast<std::ptrdiff_t>(slots.size())), slots);
      place += slots.size();
    }
    EXPECT_EQ(place, nearest.size());
  }
}

}  // namespace
}  // namespace tandem
