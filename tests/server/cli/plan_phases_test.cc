#include "server/cli/plan_phases.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/server/cli/planner_fixture.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;

const std::vector<std::string>& High() {
  static const auto* const args =
      new std::vector<std::string>{"--gpus-per-node", "4", "--nodes", "2", "--affinity", "high"};
  return *args;
}

std::vector<std::string> With(std::vector<std::string> args, const std::string& more,
                              const std::string& value) {
  args.insert(args.end(), {more, value});
  return args;
}

absl::StatusOr<PlanChoice> Choose(const std::vector<std::string>& args) {
  const auto planner = MakePlanner({MadeUpProfile(), MadeUpProfile(2)}, args);
  EXPECT_TRUE(planner.ok()) << planner.status();
  return FindChoice(*planner, {}, {});
}

TEST(PlanPhasesTest, HighAffinitySimulatesWhatBothPhasesPromise) {
  const auto planner = MakePlanner({MadeUpProfile(), MadeUpProfile(2)}, High());
  ASSERT_TRUE(planner.ok()) << planner.status();
  const auto choice = FindChoice(*planner, {}, {});
  ASSERT_TRUE(choice.ok()) << choice.status();
  ASSERT_TRUE(choice->phases.has_value());
  const PhaseSearch& phases = *choice->phases;
  // Decoding is not faster on two devices.
  EXPECT_EQ(phases.decode.ranked.front().placement.ToString(), "1 decode");
  EXPECT_EQ(phases.joined.size(), 4);
  const auto ranking = planner->Rank(choice->candidates, {}, {});
  ASSERT_TRUE(ranking.ok()) << ranking.status();
  ASSERT_NE(ranking->Best(true), nullptr);
  const JoinedPhases& best =
      *std::ranges::find(phases.joined, ranking->Best(true)->placement, &JoinedPhases::placement);
  EXPECT_NEAR(ranking->Best(true)->score.rate.mean / best.promised, 1, 0.4);
  EXPECT_THAT(PhasesTable(phases, *ranking), HasSubstr("promised"));
  EXPECT_EQ(PhasesJson(phases, *ranking)["together"].size(), 4);
}

TEST(PlanPhasesTest, NoInstanceIsPromisedToServeMoreThanItsLinkCarries) {
  // 200 KB for each prompt.
  const auto choice = Choose(With(With(High(), "--link-bandwidth", "400KB"), "--demand", "20"));
  ASSERT_TRUE(choice.ok()) << choice.status();
  const ClusterPlacement& placement = choice->phases->joined.front().placement;
  EXPECT_EQ(placement.num_prefill, 10);
  EXPECT_EQ(placement.num_decode, 10);
}

TEST(PlanPhasesTest, ADemandJoinsAsManyAsItTakes) {
  const auto choice = Choose(With(High(), "--demand", "20"));
  ASSERT_TRUE(choice.ok()) << choice.status();
  EXPECT_GE(choice->phases->joined.front().promised, 20);
}

TEST(PlanPhasesTest, ASearchOfAllIsStillThere) {
  const auto joint = Choose(With(High(), "--phases", "joint"));
  ASSERT_TRUE(joint.ok()) << joint.status();
  EXPECT_FALSE(joint->phases.has_value());
  EXPECT_GT(joint->candidates.size(), 100);
  const auto low = Choose({"--nodes", "2"});
  ASSERT_TRUE(low.ok()) << low.status();
  EXPECT_FALSE(low->phases.has_value()) << "KV stays on a node";
}

TEST(PlanPhasesTest, WhereAPhaseHasNoTargetOfItsOwnBothAreSearchedTogether) {
  for (const char* targets : {"ttft:1000", "tpot:12", "ttft:1000,tpot:12,e2el:2000"}) {
    const auto choice = Choose(With(High(), "--goodput", targets));
    ASSERT_TRUE(choice.ok()) << choice.status();
    EXPECT_FALSE(choice->phases.has_value()) << targets;
  }
  const auto asked =
      Choose(With(With(High(), "--goodput", "ttft:1000"), "--phases", "independent"));
  EXPECT_THAT(std::string(asked.status().message()), HasSubstr("ttft and tpot"));
}

TEST(PlanPhasesTest, LowAffinityHasNoPhasesForThemselves) {
  const auto choice = Choose({"--phases", "independent"});
  EXPECT_EQ(choice.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(choice.status().message()), HasSubstr("--affinity high"));
}

}  // namespace
}  // namespace tandem
