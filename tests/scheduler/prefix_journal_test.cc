#include "scheduler/prefix_journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <set>

namespace tandem {
namespace {

using ::testing::ElementsAre;

TEST(PrefixJournalTest, RecordsNothingUntilSomebodyAsks) {
  PrefixJournal journal;
  journal.Add(1);
  EXPECT_TRUE(journal.Take(10).empty());
}

TEST(PrefixJournalTest, TellsWhatIsHeldAndThenWhatChanges) {
  PrefixJournal journal;
  journal.Restart({1, 2});
  journal.Add(3);
  PrefixChanges changes = journal.Take(10);
  EXPECT_TRUE(changes.restart);
  EXPECT_THAT(changes.added, ElementsAre(1, 2, 3));
  journal.Remove(2);
  changes = journal.Take(10);
  EXPECT_FALSE(changes.restart);
  EXPECT_THAT(changes.added, ElementsAre());
  EXPECT_THAT(changes.removed, ElementsAre(2));
  EXPECT_TRUE(journal.Take(10).empty());
}

TEST(PrefixJournalTest, WhatComesAndGoesIsNotTold) {
  PrefixJournal journal;
  journal.Restart({1});
  journal.Take(10);
  journal.Add(2);
  journal.Remove(2);
  journal.Remove(1);
  journal.Add(1);
  EXPECT_TRUE(journal.Take(10).empty());
}

TEST(PrefixJournalTest, TellsABoundedPartAtATimeOldestFirst) {
  PrefixJournal journal;
  journal.Restart({5, 4, 3});
  EXPECT_THAT(journal.Take(2).added, ElementsAre(5, 4));
  const PrefixChanges rest = journal.Take(2);
  EXPECT_FALSE(rest.restart);
  EXPECT_THAT(rest.added, ElementsAre(3));
}

TEST(PrefixJournalTest, AMirrorOfItHoldsWhatTheCacheHolds) {
  std::mt19937 random(3);
  PrefixJournal journal;
  journal.Restart({});
  std::set<uint64_t> held, mirror;
  for (int i = 0; i < 10000; ++i) {
    const uint64_t key = random() % 50;
    if (held.insert(key).second) {
      journal.Add(key);
    } else {
      held.erase(key);
      journal.Remove(key);
    }
    if (random() % 500 == 0) journal.Restart(std::vector<uint64_t>(held.begin(), held.end()));
    if (random() % 10 != 0) continue;
    const PrefixChanges changes = journal.Take(5);
    if (changes.restart) mirror.clear();
    for (uint64_t told : changes.added) EXPECT_TRUE(mirror.insert(told).second);
    for (uint64_t told : changes.removed) EXPECT_EQ(mirror.erase(told), 1u);
  }
  const PrefixChanges changes = journal.Take(1000);
  if (changes.restart) mirror.clear();
  mirror.insert(changes.added.begin(), changes.added.end());
  for (uint64_t told : changes.removed) mirror.erase(told);
  EXPECT_EQ(mirror, held);
}

}  // namespace
}  // namespace tandem
