#include "scheduler/fair_clock.h"

#include <gtest/gtest.h>

namespace tandem {
namespace {

TEST(FairClockTest, OneTenantIsServedInOrderOfArrival) {
  FairClock clock;
  int64_t last = -1;
  for (int num_tokens : {10, 1, 500, 3}) {
    const int64_t stamp = clock.Arrive(7, num_tokens);
    EXPECT_GT(stamp, last);
    last = stamp;
    clock.Serve(7);
  }
}

TEST(FairClockTest, ATenantWithManyRequestsDoesNotHoldUpOneWithFew) {
  FairClock clock;
  for (int i = 0; i < 10; ++i) clock.Arrive(1, 100);
  clock.Begin(0);
  const int64_t other = clock.Arrive(2, 100);
  EXPECT_LT(other, clock.Arrive(1, 100));
  EXPECT_EQ(other, 0);
}

TEST(FairClockTest, OutputCountsTwice) {
  FairClock clock;
  clock.Arrive(1, 10);
  clock.Arrive(2, 10);
  for (int i = 0; i < 5; ++i) clock.Serve(1);
  EXPECT_EQ(clock.Arrive(1, 1), 20);
  EXPECT_EQ(clock.Arrive(2, 1), 10);
}

TEST(FairClockTest, IdlenessEarnsNoCredit) {
  FairClock clock;
  clock.Arrive(1, 10);
  for (int i = 0; i < 10; ++i) clock.Begin(clock.Arrive(2, 100));
  const int64_t stamp = clock.Arrive(1, 10);
  EXPECT_EQ(stamp, 900);  // where tenant 2's last request has begun
}

TEST(FairClockTest, RemembersABoundedNumberOfTenants) {
  FairClock clock;
  for (uint64_t tenant = 1; tenant <= 100000; ++tenant) {
    clock.Begin(clock.Arrive(tenant, 1 + static_cast<int>(tenant % 7)));
    ASSERT_LE(clock.num_tenants(), 2048);
  }
}

TEST(FairClockTest, StillHoldsBackWhoWasServedMostAmongManyTenants) {
  FairClock clock;
  for (int i = 0; i < 100; ++i) clock.Arrive(1, 1000);
  for (uint64_t tenant = 2; tenant <= 10000; ++tenant) clock.Arrive(tenant, 1);
  EXPECT_GT(clock.Arrive(1, 1), clock.Arrive(20000, 1));
}

}  // namespace
}  // namespace tandem
