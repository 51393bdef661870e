#include "scheduler/sim/step_scatter.h"

#include <gtest/gtest.h>

#include <cmath>

namespace tandem {
namespace {

TEST(StepScatterTest, KeepsTheMeanAndLiesAsFarFromItAsAsked) {
  for (const double mean_error : {0.05, 0.15, 0.4}) {
    Random random(7);
    constexpr int kDraws = 200'000;
    double sum = 0, distance = 0;
    for (int i = 0; i < kDraws; ++i) {
      const double drawn = DrawScatter(mean_error, random);
      EXPECT_GT(drawn, 0);
      sum += drawn;
      distance += std::abs(drawn - 1);
    }
    EXPECT_NEAR(sum / kDraws, 1, 0.01);
    EXPECT_NEAR(distance / kDraws, mean_error, 0.03 * mean_error + 0.002);
  }
}

TEST(StepScatterTest, DrawsNothingWhereThereIsNone) {
  Random random(7);
  EXPECT_EQ(DrawScatter(0, random), 1);
  EXPECT_EQ(random.Next(), Random(7).Next());
}

}  // namespace
}  // namespace tandem
