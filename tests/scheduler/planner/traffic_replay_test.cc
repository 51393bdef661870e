#include "scheduler/planner/traffic_replay.h"

#include <gtest/gtest.h>

#include <utility>

#include "tests/scheduler/planner/recent_traffic.h"

namespace tandem {
namespace {

using Kind = TrafficOutcome::Kind;
using testing::kTrafficStart;
using testing::MakeInstances;
using testing::TrafficShape;
using testing::TrafficSource;

TrafficWindow WindowOf(const TrafficShape& shape, absl::Duration length = absl::Minutes(1)) {
  TrafficProfile profile;
  TrafficSource source(3);
  source.Feed(shape, length, profile);
  return profile.Recent({.length = length, .now = source.now()});
}

ServiceLevel MustReplay(const std::string& roles, const TrafficWindow& window,
                        const ReplayOptions& options = {}) {
  const auto level = Replay(MakeInstances(roles), window, options);
  EXPECT_TRUE(level.ok()) << level.status();
  return *level;
}

// One request a second, far apart from each other.
TrafficWindow Rare(int num_requests) {
  TrafficWindow window{.begin = kTrafficStart, .end = kTrafficStart + absl::Seconds(num_requests)};
  for (int i = 0; i < num_requests; ++i) {
    TrafficRequest request{.id = RequestId(i + 1), .arrival = kTrafficStart + absl::Seconds(i)};
    request.prompt_tokens = 100;
    request.outcome = {.kind = Kind::kServed,
                       .output_tokens = 11,
                       .ttft = absl::Milliseconds(200),
                       .tpot = absl::Milliseconds(20)};
    window.requests.push_back(std::move(request));
  }
  return window;
}

TEST(TrafficReplayTest, RequestsAloneTakeWhatTheirStepsTake) {
  const ServiceLevel level = MustReplay("pd", Rare(20), {.network_delay = absl::ZeroDuration()});
  EXPECT_EQ(level.num_requests, 18) << "without those that find an empty cluster";
  EXPECT_NEAR(level.ttft_ms.Median(), 102, 0.01);
  EXPECT_NEAR(level.tpot_ms.Median(), 11, 0.2);
  EXPECT_NEAR(level.goodput, 1, 0.01);
}

TEST(TrafficReplayTest, WhatWasMeasuredIsReportedAsItWas) {
  TrafficWindow window = Rare(10);
  window.requests[1].outcome.kind = Kind::kFailed;
  window.requests[2].outcome.kind = Kind::kCancelled;
  window.requests[3].outcome.kind = Kind::kUnderWay;
  const ServiceLevel level =
      Measure(window, {.targets = SloTargets{.ttft = absl::Milliseconds(300)}});
  EXPECT_EQ(level.num_requests, 8) << "what clients gave up and what goes on is left out";
  EXPECT_EQ(level.num_unserved, 1);
  EXPECT_EQ(level.attainment, 7 / 8.0);
  EXPECT_DOUBLE_EQ(level.ttft_ms.Median(), 200);
  EXPECT_NEAR(level.tpot_ms.Median(), 20, 1e-6);
  EXPECT_DOUBLE_EQ(level.goodput, 0.7);
}

TEST(TrafficReplayTest, TargetsAreEachRequestsOwnUnlessOthersAreGiven) {
  TrafficWindow window = Rare(10);
  EXPECT_FALSE(HasTargets(window, {}));
  window.requests[4].targets.ttft = absl::Milliseconds(1);
  EXPECT_TRUE(HasTargets(window, {}));
  const SloTargets tight{.tpot = absl::Milliseconds(1)};
  EXPECT_EQ(Measure(window, {}).num_good, 9);
  EXPECT_EQ(Measure(window, {.default_targets = tight}).num_good, 0);
  EXPECT_EQ(Measure(window, {.targets = SloTargets{.ttft = absl::Seconds(9)}}).num_good, 10);
}

TEST(TrafficReplayTest, AFasterReplayWaitsLonger) {
  const TrafficWindow window = WindowOf({.rate = 3});
  const ServiceLevel as_it_was = MustReplay("pd", window);
  const ServiceLevel twice = MustReplay("pd", window, {.rate_scale = 2});
  EXPECT_GT(twice.ttft_ms.Median(), 2 * as_it_was.ttft_ms.Median());
  EXPECT_LT(twice.attainment, as_it_was.attainment);
}

TEST(TrafficReplayTest, PromptsThatBeginAlikeAreFoundInTheCache) {
  TrafficWindow window = Rare(20);
  const double without = MustReplay("m", window).ttft_ms.Median();
  for (TrafficRequest& request : window.requests) {
    request.prefixes = {.block_size = 16, .keys = {11, 12, 13, 14, 15}};
  }
  EXPECT_NEAR(MustReplay("m", window).ttft_ms.Median(), without - 80, 1);
}

TEST(TrafficReplayTest, AnswersThatAreNotKnownAreAsLongAsTheOthersWithinTheirLimit) {
  TrafficWindow window = Rare(20);
  for (int i = 10; i < 20; ++i) window.requests[i].outcome = {};
  const double mean = MustReplay("m", window).tpot_ms.Median();
  EXPECT_NEAR(mean, 11, 0.2);
  for (int i = 10; i < 20; ++i) window.requests[i].max_tokens = 1;
  EXPECT_EQ(MustReplay("m", window).tpot_ms.sorted().size(), 8) << "the others have one token";
}

TEST(TrafficReplayTest, ABudgetThatMakesNoSenseIsRefused) {
  auto instances = MakeInstances("m");
  instances[0].scheduler.max_num_batched_tokens = 1;
  EXPECT_EQ(Replay(instances, Rare(3), {}).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(TrafficReplayTest, NoTrafficIsServedWell) {
  const ServiceLevel level = MustReplay("m", {.begin = kTrafficStart, .end = kTrafficStart});
  EXPECT_EQ(level.num_requests, 0);
  EXPECT_EQ(level.attainment, 1);
}

}  // namespace
}  // namespace tandem
