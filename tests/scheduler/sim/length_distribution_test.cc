#include "scheduler/sim/length_distribution.h"

#include <gtest/gtest.h>

#include <vector>

#include "scheduler/sim/samples.h"

namespace tandem {
namespace {

Samples Draws(const char* text) {
  const LengthDistribution lengths = LengthDistribution::Parse(text).value();
  EXPECT_EQ(lengths.text(), text);
  Random random(1);
  std::vector<double> drawn;
  for (int i = 0; i < 50000; ++i) drawn.push_back(lengths.Draw(random));
  return Samples(drawn);
}

TEST(LengthDistributionTest, ANumberIsExact) {
  EXPECT_EQ(Draws("512").Percentile(0), 512);
  EXPECT_EQ(Draws("512").Percentile(100), 512);
}

TEST(LengthDistributionTest, ARangeIsUniformWithBothEnds) {
  const Samples lengths = Draws("10..20");
  EXPECT_EQ(lengths.Percentile(0), 10);
  EXPECT_EQ(lengths.Percentile(100), 20);
  EXPECT_NEAR(lengths.Mean(), 15, 0.1);
}

TEST(LengthDistributionTest, NamedOnesHaveTheirParameters) {
  EXPECT_NEAR(Draws("normal:512:64").Mean(), 512, 2);
  EXPECT_NEAR(Draws("normal:512:64").Deviation(), 64, 2);
  EXPECT_NEAR(Draws("lognormal:300:0.5").Median(), 300, 5);
  EXPECT_NEAR(Draws("exponential:200").Mean(), 200, 4);
}

TEST(LengthDistributionTest, DrawsStayWithinOneAndTheCap) {
  const Samples lengths = Draws("normal:10:1000<=500");
  EXPECT_EQ(lengths.Percentile(0), 1);
  EXPECT_EQ(lengths.Percentile(100), 500);
}

TEST(LengthDistributionTest, WhatIsNoLengthIsQuoted) {
  for (const char* text : {"", "0", "-5", "many", "20..10", "0..5", "..", "normal:5", "normal:5:0",
                           "lognormal:a:1", "exponential:", "exponential:1:2", "zipf:1:2",
                           "5<=", "5<=0", "99999999999", "normal:nan:1", "normal:inf:1", "1:2"}) {
    const auto parsed = LengthDistribution::Parse(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_NE(std::string(parsed.status().message()).find(text), std::string::npos);
  }
}

}  // namespace
}  // namespace tandem
