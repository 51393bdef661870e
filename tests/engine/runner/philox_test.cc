#include "engine/runner/philox.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;

// The known answers that the authors publish with their Random123 library.
TEST(Philox, GivesTheAuthorsKnownAnswers) {
  EXPECT_THAT(Philox4x32({0, 0, 0, 0}, {0, 0}),
              ElementsAre(0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8));
  EXPECT_THAT(
      Philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
      ElementsAre(0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd));
  EXPECT_THAT(
      Philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
      ElementsAre(0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1));
}

TEST(UniformDraw, DependsOnEachArgumentAndNothingElse) {
  const double draw = UniformDraw(7, 1, 100);
  EXPECT_EQ(draw, UniformDraw(7, 1, 100));
  EXPECT_NE(draw, UniformDraw(8, 1, 100));
  EXPECT_NE(draw, UniformDraw(7 + (uint64_t{1} << 32), 1, 100));
  EXPECT_NE(draw, UniformDraw(7, 2, 100));
  EXPECT_NE(draw, UniformDraw(7, 1, 101));
}

// Kolmogorov-Smirnov against the uniform distribution, along each of the three arguments.
TEST(UniformDraw, IsUniformAlongSeedsSamplesAndPositions) {
  constexpr int kDraws = 20000;
  for (int axis = 0; axis < 3; ++axis) {
    std::vector<double> draws(kDraws);
    for (int i = 0; i < kDraws; ++i) {
      draws[i] = UniformDraw(axis == 0 ? i : 42, axis == 1 ? i : 0, axis == 2 ? i : 17);
      ASSERT_GE(draws[i], 0.0);
      ASSERT_LT(draws[i], 1.0);
    }
    std::sort(draws.begin(), draws.end());
    double distance = 0;
    for (int i = 0; i < kDraws; ++i) {
      distance = std::max(distance, std::abs(draws[i] - (i + 0.5) / kDraws));
    }
    // 1.95 / sqrt(n) is exceeded by one true uniform sample in 1,000; the seeds are fixed.
    EXPECT_LT(distance, 1.95 / std::sqrt(kDraws)) << "axis " << axis;
  }
}

}  // namespace
}  // namespace tandem
