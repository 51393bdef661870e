#include "scheduler/sim/samples.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "scheduler/sim/random.h"

namespace tandem {
namespace {

TEST(SamplesTest, PercentilesAreInterpolatedAsNumpyDoes) {
  const Samples samples({4, 1, 3, 2});
  EXPECT_DOUBLE_EQ(samples.Percentile(0), 1);
  EXPECT_DOUBLE_EQ(samples.Percentile(50), 2.5);
  EXPECT_DOUBLE_EQ(samples.Percentile(90), 3.7);
  EXPECT_DOUBLE_EQ(samples.Percentile(99), 3.97);
  EXPECT_DOUBLE_EQ(samples.Percentile(100), 4);
}

TEST(SamplesTest, AgreesWithANaiveModel) {
  Random random(1);
  for (int size : {1, 2, 3, 10, 1001}) {
    std::vector<double> values;
    for (int i = 0; i < size; ++i) values.push_back(random.Normal());
    const Samples samples(values);
    double mean = 0, variance = 0;
    for (double value : values) mean += value / size;
    for (double value : values) variance += (value - mean) * (value - mean) / size;
    EXPECT_NEAR(samples.Mean(), mean, 1e-12);
    EXPECT_NEAR(samples.Deviation(), std::sqrt(variance), 1e-12);
    for (double percent : {1.0, 25.0, 50.0, 99.0, 99.9}) {
      const double value = samples.Percentile(percent);
      const auto below = std::count_if(values.begin(), values.end(),
                                       [&](double other) { return other < value - 1e-12; });
      const auto up_to = std::count_if(values.begin(), values.end(),
                                       [&](double other) { return other <= value + 1e-12; });
      EXPECT_LE(below, std::ceil(percent / 100 * (size - 1))) << size << " " << percent;
      EXPECT_GE(up_to, std::floor(percent / 100 * (size - 1)) + 1) << size << " " << percent;
    }
  }
}

TEST(SamplesTest, NothingIsZero) {
  const Samples none;
  EXPECT_TRUE(none.empty());
  EXPECT_EQ(none.Percentile(99), 0);
  EXPECT_EQ(none.Mean(), 0);
  EXPECT_EQ(none.ShareWithin(1), 0);
}

TEST(SamplesTest, ShareWithinIncludesTheLimit) {
  EXPECT_DOUBLE_EQ(Samples({1, 2, 3, 4}).ShareWithin(3), 0.75);
}

TEST(WilsonIntervalTest, HasPublishedBounds) {
  // Newcombe 1998, table I: 81 of 263, and 0 of 20.
  const ShareInterval some = WilsonInterval(81, 263);
  EXPECT_NEAR(some.low, 0.2553, 1e-4);
  EXPECT_NEAR(some.high, 0.3662, 1e-4);
  const ShareInterval none = WilsonInterval(0, 20);
  EXPECT_NEAR(none.low, 0, 1e-9);
  EXPECT_NEAR(none.high, 0.1611, 1e-4);
  EXPECT_EQ(WilsonInterval(0, 0).high, 1);
}

}  // namespace
}  // namespace tandem
