#include "scheduler/expiry_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tandem {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

absl::Time At(int seconds) { return absl::FromUnixSeconds(seconds); }

TEST(ExpiryTableTest, TakesWhatHasExpiredEarliestFirst) {
  ExpiryTable table;
  table.Set(RequestId(1), At(30));
  table.Set(RequestId(2), At(10));
  table.Set(RequestId(3), At(20));
  EXPECT_EQ(table.Next(), At(10));
  EXPECT_THAT(table.TakeExpired(At(9)), IsEmpty());
  EXPECT_THAT(table.TakeExpired(At(20)), ElementsAre(RequestId(2), RequestId(3)));
  EXPECT_EQ(table.size(), 1);
}

TEST(ExpiryTableTest, ForgetsWhatIsCleared) {
  ExpiryTable table;
  table.Set(RequestId(1), At(10));
  EXPECT_TRUE(table.Clear(RequestId(1)));
  EXPECT_FALSE(table.Clear(RequestId(1)));
  EXPECT_EQ(table.Next(), absl::InfiniteFuture());
  EXPECT_THAT(table.TakeExpired(At(100)), IsEmpty());
}

TEST(ExpiryTableTest, KeepsOnlyTheLastTimeOfARequest) {
  ExpiryTable table;
  table.Set(RequestId(1), At(10));
  table.Set(RequestId(1), At(20));
  EXPECT_THAT(table.TakeExpired(At(10)), IsEmpty());
  EXPECT_THAT(table.TakeExpired(At(20)), ElementsAre(RequestId(1)));
}

}  // namespace
}  // namespace tandem
