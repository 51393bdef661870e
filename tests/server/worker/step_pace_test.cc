#include "server/worker/step_pace.h"

#include <gtest/gtest.h>

namespace tandem {
namespace {

UnfinishedRequest Request(int64_t num_tokens_before, int num_tokens_to_draw) {
  return {.num_tokens_before = num_tokens_before, .num_tokens_to_draw = num_tokens_to_draw};
}

TEST(StepPaceTest, KnowsNothingBeforeTheFirstStep) {
  EXPECT_EQ(StepPace().TimeToFinish(Request(1000, 1000), 10), absl::ZeroDuration());
}

TEST(StepPaceTest, TakesAStepForEachTokenToDraw) {
  StepPace pace;
  pace.Observe(absl::Milliseconds(20));
  EXPECT_EQ(pace.TimeToFinish(Request(0, 50), 512), absl::Seconds(1));
}

TEST(StepPaceTest, FillsStepsWithTheTokensToComputeBefore) {
  StepPace pace;
  pace.Observe(absl::Milliseconds(100));
  EXPECT_EQ(pace.TimeToFinish(Request(1025, 1), 512), absl::Milliseconds(400));
}

TEST(StepPaceTest, FollowsTheStepsOfLate) {
  StepPace pace;
  pace.Observe(absl::Seconds(10));
  for (int i = 0; i < 100; ++i) pace.Observe(absl::Milliseconds(10));
  EXPECT_LT(pace.TimeToFinish(Request(0, 1), 512), absl::Milliseconds(20));
}

}  // namespace
}  // namespace tandem
