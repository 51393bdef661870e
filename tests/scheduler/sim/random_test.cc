#include "scheduler/sim/random.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace tandem {
namespace {

struct Moments {
  double mean = 0, variance = 0;
};

template <typename Draw>
Moments MomentsOf(Draw draw) {
  constexpr int kDraws = 200000;
  double sum = 0, squares = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double x = draw();
    sum += x;
    squares += x * x;
  }
  const double mean = sum / kDraws;
  return {.mean = mean, .variance = squares / kDraws - mean * mean};
}

TEST(RandomTest, DrawsTheSameNumbersOnEveryMachine) {
  Random random(1);
  const std::vector<uint64_t> drawn = {random.Next(), random.Next(), random.Next()};
  Random again(1), other(2), stream(1, 1);
  EXPECT_EQ(drawn[0], again.Next());
  EXPECT_EQ(drawn[1], again.Next());
  EXPECT_NE(drawn[0], other.Next());
  EXPECT_NE(drawn[0], stream.Next());
}

TEST(RandomTest, NumbersBelowABoundAreEquallyLikely) {
  Random random(3);
  std::vector<int> counts(7);
  for (int i = 0; i < 70000; ++i) ++counts[random.Below(7)];
  for (int count : counts) EXPECT_NEAR(count, 10000, 400);
}

TEST(RandomTest, UniformLiesInTheUnitInterval) {
  Random random(4);
  const Moments moments = MomentsOf([&] {
    const double x = random.Uniform();
    EXPECT_TRUE(x >= 0 && x < 1);
    return x;
  });
  EXPECT_NEAR(moments.mean, 0.5, 0.005);
  EXPECT_NEAR(moments.variance, 1.0 / 12, 0.002);
}

TEST(RandomTest, DistributionsHaveTheirMoments) {
  Random random(5);
  const Moments exponential = MomentsOf([&] { return random.Exponential(); });
  EXPECT_NEAR(exponential.mean, 1, 0.01);
  EXPECT_NEAR(exponential.variance, 1, 0.03);
  const Moments normal = MomentsOf([&] { return random.Normal(); });
  EXPECT_NEAR(normal.mean, 0, 0.01);
  EXPECT_NEAR(normal.variance, 1, 0.02);
  for (double shape : {0.3, 1.0, 4.5}) {
    const Moments gamma = MomentsOf([&] { return random.Gamma(shape); });
    EXPECT_NEAR(gamma.mean, shape, 0.02 * shape + 0.005) << shape;
    EXPECT_NEAR(gamma.variance, shape, 0.05 * shape) << shape;
  }
}

}  // namespace
}  // namespace tandem
