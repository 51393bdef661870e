#include "scheduler/planner/placement_search.h"

#include <gtest/gtest.h>

#include "tests/scheduler/planner/recent_traffic.h"

namespace tandem {
namespace {

using testing::MakeInstances;
using testing::TrafficShape;
using testing::TrafficSource;

TrafficWindow WindowOf(const TrafficShape& shape, absl::Duration length = absl::Minutes(1)) {
  TrafficProfile profile;
  TrafficSource source(5);
  source.Feed(shape, length, profile);
  return profile.Recent({.length = length, .now = source.now()});
}

ClusterPlacement MustFindReplicas(const std::string& roles, const TrafficWindow& window,
                                  const PlacementSearchOptions& options = {}) {
  const auto instances = MakeInstances(roles);
  const ClusterPlacement present = PlacementOf(instances);
  const auto level = Replay(instances, window, options.replay);
  EXPECT_TRUE(level.ok()) << level.status();
  const auto wanted = FindReplicas(instances, {present, level->attainment}, window, options);
  EXPECT_TRUE(wanted.ok()) << wanted.status();
  return *wanted;
}

TEST(PlacementSearchTest, LongPromptsWantMorePrefillAndLongAnswersMoreDecode) {
  const TrafficShape prompts{.rate = 3.2,
                             .prompt_tokens = 500,
                             .output_tokens = 5,
                             .targets = {.ttft = absl::Seconds(2), .tpot = absl::Milliseconds(20)}};
  const auto by_prompts = ScorePlacements(MakeInstances("pddd"), WindowOf(prompts), {});
  ASSERT_TRUE(by_prompts.ok());
  EXPECT_GE(by_prompts->front().placement.num_prefill, 2)
      << by_prompts->front().placement.ToString();

  const TrafficShape answers{.rate = 4,
                             .prompt_tokens = 20,
                             .output_tokens = 200,
                             .targets = {.ttft = absl::Seconds(2), .tpot = absl::Milliseconds(30)}};
  const auto by_answers = ScorePlacements(MakeInstances("pppd"), WindowOf(answers), {});
  ASSERT_TRUE(by_answers.ok());
  EXPECT_GE(by_answers->front().placement.num_decode + by_answers->front().placement.num_mixed, 2)
      << by_answers->front().placement.ToString();
}

TEST(PlacementSearchTest, OfEquallyGoodOnesThePresentOneIsFirst) {
  const auto scored = ScorePlacements(MakeInstances("pd"), WindowOf({.rate = 0.5}), {});
  ASSERT_TRUE(scored.ok());
  EXPECT_EQ(scored->front().placement, PlacementOf(MakeInstances("pd")));
  EXPECT_EQ(scored->front().attainment, 1);
  EXPECT_EQ(scored->size(), 4);
}

TEST(PlacementSearchTest, InstancesAreAddedUntilTheGoalIsReached) {
  // 200 ms of prefill each, ten a second.
  const ClusterPlacement wanted = MustFindReplicas("pd", WindowOf({.rate = 10}));
  EXPECT_GE(wanted.num_prefill, 3) << wanted.ToString();
  EXPECT_EQ(wanted.num_decode, 1) << wanted.ToString();
}

TEST(PlacementSearchTest, WhereBothRolesAreShortBothAreAdded) {
  const TrafficShape shape{.rate = 10,
                           .prompt_tokens = 150,
                           .output_tokens = 100,
                           .targets = {.ttft = absl::Seconds(1), .tpot = absl::Milliseconds(18)}};
  const ClusterPlacement wanted = MustFindReplicas("pd", WindowOf(shape));
  EXPECT_GE(wanted.num_prefill, 2) << wanted.ToString();
  EXPECT_GE(wanted.num_decode, 2) << wanted.ToString();
}

TEST(PlacementSearchTest, TargetsThatNoNumberMeetsAddNone) {
  const TrafficShape shape{.rate = 2, .targets = {.ttft = absl::Milliseconds(1)}};
  EXPECT_EQ(MustFindReplicas("pd", WindowOf(shape)), PlacementOf(MakeInstances("pd")));
}

// Two of three instances would just carry the load, but not with headroom: they would be three
// again a moment later.
TEST(PlacementSearchTest, FewerMustCarryAllOfTheLoadWithHeadroom) {
  EXPECT_EQ(MustFindReplicas("mmm", WindowOf({.rate = 0.5})).num_mixed, 1);
  const TrafficShape shape{.rate = 4.2, .targets = {.ttft = absl::Seconds(1)}};
  EXPECT_EQ(MustFindReplicas("mmm", WindowOf(shape), {.headroom = 1}).num_mixed, 2);
  EXPECT_EQ(MustFindReplicas("mmm", WindowOf(shape), {.headroom = 2}).num_mixed, 3);
}

// Dynamo's planner went from two to one and back as long as it scaled down by the load of two.
TEST(PlacementSearchTest, NoiseDoesNotSendTheNumberUpAndDown) {
  const absl::Duration kLong = absl::Minutes(5);  // a minute has bursts of its own
  for (const double rate : {1.0, 3.0, 5.0, 8.0}) {
    ClusterPlacement placement = MustFindReplicas("ppdd", WindowOf({.rate = rate}, kLong));
    int num_ups = 0, num_downs = 0;
    for (const double noise : {0.95, 1.05, 0.95, 1.05}) {
      const std::string roles =
          std::string(placement.num_prefill, 'p') + std::string(placement.num_decode, 'd');
      const ClusterPlacement next =
          MustFindReplicas(roles, WindowOf({.rate = rate * noise}, kLong));
      num_ups += next.NumDevices() > placement.NumDevices();
      num_downs += next.NumDevices() < placement.NumDevices();
      placement = next;
    }
    EXPECT_EQ(num_downs, 0) << rate << ": what was enough a moment ago is needed";
    EXPECT_LE(num_ups, 1) << rate;
  }
}

}  // namespace
}  // namespace tandem
