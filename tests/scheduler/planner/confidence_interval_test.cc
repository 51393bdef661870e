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

}  // namespace
}  // namespace tandem
