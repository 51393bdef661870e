#include "scheduler/planner/traffic_shift.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/scheduler/planner/recent_traffic.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::TrafficShape;
using testing::TrafficSource;

TrafficSummary SummaryOf(const TrafficShape& shape, uint64_t seed,
                         absl::Duration length = absl::Minutes(1)) {
  TrafficProfile profile;
  TrafficSource source(seed);
  source.Feed(shape, length, profile);
  return Summarize(profile.Recent({.length = length, .now = source.now()}));
}

TEST(TrafficShiftTest, ASummaryTellsRateLengthsAndHitsAndHowSureTheyAre) {
  const TrafficSummary summary = SummaryOf({.rate = 20, .cached_share = 0.25}, 1, absl::Minutes(2));
  EXPECT_NEAR(summary.rate.mean, 20, 2);
  EXPECT_NEAR(summary.rate.relative_error, 1 / std::sqrt(summary.num_requests), 0.005);
  EXPECT_NEAR(summary.prompt_tokens.mean, 200, 5);
  EXPECT_NEAR(summary.prompt_tokens.relative_error,
              std::sqrt(1 / 12.0) / std::sqrt(summary.num_requests), 0.001);
  EXPECT_NEAR(summary.output_tokens.mean, 20, 1);
  EXPECT_NEAR(summary.uncached_share.mean, 0.75, 0.01);
}

TEST(TrafficShiftTest, ChangesByTwoAreShiftsAndAreNamed) {
  const TrafficSummary from = SummaryOf({.rate = 8, .cached_share = 0.5}, 1);
  const auto shifts = [&](const TrafficShape& shape) {
    return FindShifts(from, SummaryOf(shape, 2), {});
  };
  EXPECT_THAT(shifts({.rate = 16, .cached_share = 0.5}), ElementsAre(HasSubstr("rate ")));
  EXPECT_THAT(shifts({.rate = 4, .cached_share = 0.5}), ElementsAre(HasSubstr("rate ")));
  EXPECT_THAT(shifts({.rate = 8, .prompt_tokens = 400, .cached_share = 0.5}),
              ElementsAre(HasSubstr("prompts ")));
  EXPECT_THAT(shifts({.rate = 8, .output_tokens = 10, .cached_share = 0.5}),
              ElementsAre(HasSubstr("answers ")));
  EXPECT_THAT(shifts({.rate = 8, .cached_share = 0}),
              ElementsAre("prompt tokens without a cache hit 0.501 -> 1"));
  EXPECT_THAT(shifts({.rate = 8, .cached_share = 0.5}), IsEmpty());
}

TEST(TrafficShiftTest, TenPercentAreNoShiftWhateverTheSeed) {
  const TrafficSummary from = SummaryOf({}, 1);
  for (uint64_t seed = 2; seed < 500; ++seed) {
    const double factor = seed % 2 == 0 ? 1.1 : 1 / 1.1;
    const TrafficShape shape{
        .rate = 4 * factor, .prompt_tokens = 200 * factor, .output_tokens = 20 / factor};
    ASSERT_THAT(FindShifts(from, SummaryOf(shape, seed), {}), IsEmpty()) << "seed " << seed;
  }
}

TEST(TrafficShiftTest, FewRequestsAreNotSureOfAnything) {
  const TrafficSummary from = SummaryOf({.rate = 1}, 1, absl::Seconds(10));
  const TrafficSummary to = SummaryOf({.rate = 2}, 2, absl::Seconds(10));
  EXPECT_THAT(FindShifts(from, to, {}), IsEmpty());
}

TEST(TrafficShiftTest, BurstsMakeTheRateLessSure) {
  TrafficProfile profile;
  for (int i = 0; i < 100; ++i) {
    const absl::Time burst = testing::kTrafficStart + absl::Seconds(10 * (i / 10));
    profile.Arrive({.id = RequestId(i + 1), .arrival = burst, .prompt_tokens = 10});
  }
  const absl::Time now = testing::kTrafficStart + absl::Seconds(100);
  const TrafficSummary summary = Summarize(profile.Recent({.length = absl::Hours(1), .now = now}));
  EXPECT_GT(summary.rate.relative_error, 2 / std::sqrt(100));
}

TEST(TrafficShiftTest, HitsThatLeaveNextToNothingAreNoShiftOfTheWork) {
  EXPECT_THAT(FindShifts(SummaryOf({.rate = 8, .cached_share = 0.99}, 1),
                         SummaryOf({.rate = 8, .cached_share = 0.96}, 2), {}),
              IsEmpty());
}

}  // namespace
}  // namespace tandem
