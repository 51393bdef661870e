#include "scheduler/least_squares.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace tandem {
namespace {

using Vector = NormalEquations::Vector;
constexpr int kSize = NormalEquations::kSize;

struct Observation {
  Vector a{};
  double y = 0;
};

double Loss(const std::vector<Observation>& observations, const Vector& x) {
  double loss = 0;
  for (const Observation& o : observations) {
    double error = -o.y;
    for (int i = 0; i < kSize; ++i) error += o.a[i] * x[i];
    loss += error * error;
  }
  return loss;
}

std::vector<Observation> RandomObservations(uint32_t seed, int count) {
  std::mt19937 random(seed);
  const auto draw = [&random] { return static_cast<double>(random() % 2001) / 1000 - 1; };
  std::vector<Observation> observations(count);
  for (Observation& o : observations) {
    for (int i = 0; i < kSize; ++i) o.a[i] = draw() * std::pow(10, i % 4);
    o.y = 3 * draw();
  }
  return observations;
}

NormalEquations Sum(const std::vector<Observation>& observations) {
  NormalEquations equations;
  for (const Observation& o : observations) equations.Add(o.a, o.y, 1);
  return equations;
}

TEST(NormalEquationsTest, FindsAnExactNonNegativeSolution) {
  const Vector truth = {1, 0.5, 0, 2, 0, 0, 3, 1e-3, 0.25};
  std::vector<Observation> observations = RandomObservations(1, 40);
  for (Observation& o : observations) {
    o.y = 0;
    for (int i = 0; i < kSize; ++i) o.y += o.a[i] * truth[i];
  }
  const Vector x = Sum(observations).SolveNonNegative({});
  for (int i = 0; i < kSize; ++i) EXPECT_NEAR(x[i], truth[i], 1e-6) << i;
}

TEST(NormalEquationsTest, NoStepFromTheResultIsBetter) {
  for (uint32_t seed = 0; seed < 50; ++seed) {
    const std::vector<Observation> observations = RandomObservations(seed, 30);
    const Vector x = Sum(observations).SolveNonNegative({});
    const double loss = Loss(observations, x);
    for (int i = 0; i < kSize; ++i) {
      ASSERT_GE(x[i], 0);
      for (double step : {1e-3, -1e-3}) {
        Vector other = x;
        other[i] = std::max(0.0, other[i] + step / std::pow(10, i % 4));
        EXPECT_GE(Loss(observations, other), loss - 1e-9) << "seed " << seed << " unknown " << i;
      }
    }
  }
}

TEST(NormalEquationsTest, EveryStartLeadsToTheSameResult) {
  for (uint32_t seed = 0; seed < 20; ++seed) {
    const NormalEquations equations = Sum(RandomObservations(seed, 30));
    const Vector from_zero = equations.SolveNonNegative({});
    Vector far{};
    far.fill(7);
    const Vector from_far = equations.SolveNonNegative(far);
    for (int i = 0; i < kSize; ++i) EXPECT_NEAR(from_far[i], from_zero[i], 1e-6) << "seed " << seed;
  }
}

TEST(NormalEquationsTest, WhatNothingShowsIsZeroAndCannotBeForetold) {
  NormalEquations equations;
  equations.Add({2, 0, 0, 0, 0, 0, 0, 0, 0}, 6, 1);
  const Vector x = equations.SolveNonNegative({});
  EXPECT_NEAR(x[0], 3, 1e-6);
  EXPECT_EQ(x[1], 0);
  EXPECT_NEAR(equations.Variance({2, 0, 0, 0, 0, 0, 0, 0, 0}), 1, 1e-6);
  EXPECT_TRUE(std::isinf(equations.Variance({0, 1, 0, 0, 0, 0, 0, 0, 0})));
}

TEST(NormalEquationsTest, VarianceFallsWithTheWeightOfTheObservations) {
  NormalEquations equations;
  for (int i = 0; i < 4; ++i) equations.Add({1, 0, 0, 0, 0, 0, 0, 0, 0}, 5, 2);
  EXPECT_NEAR(equations.Variance({1, 0, 0, 0, 0, 0, 0, 0, 0}), 1.0 / 8, 1e-6);
  equations.Scale(0.5);
  EXPECT_NEAR(equations.Variance({1, 0, 0, 0, 0, 0, 0, 0, 0}), 1.0 / 4, 1e-6);
  EXPECT_NEAR(equations.SolveNonNegative({})[0], 5, 1e-6);
}

}  // namespace
}  // namespace tandem
