#include "engine/weights/config_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace tandem {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(ConfigRulesTest, LeavesEveryNthLayerFull) {
  EXPECT_THAT(SlidingLayers(3, 7), ElementsAre(true, true, false, true, true, false, true));
  EXPECT_THAT(SlidingLayers(1, 2), ElementsAre(false, false));
  EXPECT_THAT(SlidingLayers(0, 2), ElementsAre(true, true));
}

TEST(ConfigRulesTest, ForgetsWindowThatNoLayerHas) {
  ModelConfig config;
  config.sliding_window = 8;
  config.is_sliding = {false, false};
  SimplifyWindow(&config);
  EXPECT_EQ(config.sliding_window, 0);
  EXPECT_THAT(config.is_sliding, IsEmpty());
}

TEST(ConfigRulesTest, KeepsWindowOfAllAndOfSomeLayers) {
  ModelConfig config;
  config.sliding_window = 8;
  config.is_sliding = {true, true};
  SimplifyWindow(&config);
  EXPECT_EQ(config.sliding_window, 8);
  EXPECT_THAT(config.is_sliding, IsEmpty());
  config.is_sliding = {true, false};
  SimplifyWindow(&config);
  EXPECT_THAT(config.is_sliding, ElementsAre(true, false));
}

TEST(ConfigRulesTest, RoundsEmbeddingScaleAsTheModelWasTrained) {
  EXPECT_EQ(EmbeddingScale(1152, DType::kF32), std::sqrt(1152.0f));
  EXPECT_EQ(EmbeddingScale(1152, DType::kBF16), 34.0f);  // 33.941
  EXPECT_EQ(EmbeddingScale(1152, DType::kF16), 33.9375f);
  EXPECT_EQ(EmbeddingScale(640, DType::kBF16), 25.25f);  // 25.298
  EXPECT_EQ(EmbeddingScale(64, DType::kBF16), 8.0f);
}

}  // namespace
}  // namespace tandem
