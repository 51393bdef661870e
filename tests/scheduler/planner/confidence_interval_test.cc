#include "scheduler/planner/confidence_interval.h"

#include <gtest/gtest.h>

#include <vector>

namespace tandem {
namespace {

TEST(ConfidenceIntervalTest, FiveSamplesHaveStudentsInterval) {
  const std::vector<double> samples = {1, 2, 3, 4, 5};
  const MeanInterval interval = MeanWithInterval(samples);
  EXPECT_DOUBLE_EQ(interval.mean, 3);
  EXPECT_NEAR(interval.half_width, 1.9632, 1e-4);  // 2.7764 * sqrt(2.5 / 5)
}

TEST(ConfidenceIntervalTest, ManySamplesComeCloseToTheNormalInterval) {
  std::vector<double> samples(101, 1);
  for (size_t i = 0; i < samples.size(); i += 2) samples[i] = -1;
  EXPECT_NEAR(MeanWithInterval(samples).half_width, 0.1984, 2e-4);  // 1.9840 * 1.0049 / sqrt(101)
}

TEST(ConfidenceIntervalTest, OneSampleHasNoWidth) {
  const std::vector<double> samples = {7};
  EXPECT_EQ(MeanWithInterval(samples).mean, 7);
  EXPECT_EQ(MeanWithInterval(samples).half_width, 0);
}

TEST(ConfidenceIntervalTest, WhatPairsShareCancelsOut) {
  const std::vector<double> a = {1.1, 5.1, 9.2}, b = {1, 5, 9};
  const MeanInterval difference = PairedDifference(a, b);
  EXPECT_NEAR(difference.mean, 0.4 / 3, 1e-12);
  EXPECT_NEAR(difference.half_width, 0.1434, 1e-4);  // 4.3027 * 0.05774 / sqrt(3)
  EXPECT_TRUE(difference.HasZero());
  EXPECT_FALSE((MeanInterval{.mean = -0.2, .half_width = 0.1}).HasZero());
}

TEST(ConfidenceIntervalTest, OnlyWholePairsCount) {
  const std::vector<double> a = {3, 100}, b = {1};
  EXPECT_EQ(PairedDifference(a, b).mean, 2);
  EXPECT_EQ(PairedDifference(a, {}).mean, 0);
}

}  // namespace
}  // namespace tandem
