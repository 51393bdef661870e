#include "scheduler/swap_cost.h"

#include <gtest/gtest.h>

#include <vector>

namespace tandem {
namespace {

// Rows of so many tokens each.
Batch MakeBatch(const std::vector<int>& counts) {
  Batch batch;
  for (const int count : counts) batch.rows.push_back({.num_tokens = count});
  return batch;
}

TEST(SwapCostTest, PrefersCopiesBeforeAnyPrefill) {
  const SwapCost cost(absl::Hours(1), /*depth=*/1);
  EXPECT_TRUE(cost.PrefersCopies(100, 1));
}

TEST(SwapCostTest, ComparesCopiesWithTheTokensThatWereTimed) {
  SwapCost cost(absl::Milliseconds(2), /*depth=*/1);
  cost.Observe(MakeBatch({100}), absl::Milliseconds(100));  // 1 ms a token
  EXPECT_TRUE(cost.PrefersCopies(10, 20));
  EXPECT_FALSE(cost.PrefersCopies(10, 19));
}

TEST(SwapCostTest, AStepOfAPipelineSharesTheDeviceWithTheOthers) {
  SwapCost cost(absl::Milliseconds(2), /*depth=*/2);
  cost.Observe(MakeBatch({100}), absl::Milliseconds(200));
  EXPECT_TRUE(cost.PrefersCopies(10, 20));
  EXPECT_FALSE(cost.PrefersCopies(10, 19));
}

TEST(SwapCostTest, StepsThatMostlyDecodeOrCopyTellNothing) {
  SwapCost cost(absl::Milliseconds(2), /*depth=*/1);
  cost.Observe(MakeBatch({1, 1, 1, 3}), absl::Milliseconds(1));
  Batch copies = MakeBatch({100});
  copies.copies.emplace_back();
  cost.Observe(copies, absl::Milliseconds(1));
  EXPECT_TRUE(cost.PrefersCopies(100, 1)) << "no prefill was seen";
}

TEST(SwapCostTest, OneSlowStepDoesNotTurnItOver) {
  SwapCost cost(absl::Milliseconds(2), /*depth=*/1);
  for (int i = 0; i < 10; ++i) cost.Observe(MakeBatch({100}), absl::Milliseconds(100));
  cost.Observe(MakeBatch({100}), absl::Milliseconds(200));
  EXPECT_FALSE(cost.PrefersCopies(10, 17));
  EXPECT_TRUE(cost.PrefersCopies(10, 18)) << "an eighth of it counts";
}

}  // namespace
}  // namespace tandem
