#include "server/cli/plan_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scheduler/planner/md1.h"
#include "tests/server/cli/planner_fixture.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;

PrefillTheory TheoryOf(const ClusterPlanner& planner, const ClusterPlacement& placement) {
  const auto ranking = planner.Rank({placement}, {}, {});
  EXPECT_TRUE(ranking.ok()) << ranking.status();
  const auto theory = MakePrefillTheory(planner, ranking->ranked.front());
  EXPECT_TRUE(theory.ok()) << theory.status();
  return *theory;
}

TEST(PlanQueueTest, MatchesTheSimulatedTtftOfPromptsOneByOne) {
  // A chunk of 200 tokens is one prompt, so none share a step.
  const auto planner =
      MakePlanner({MadeUpProfile()}, {"--requests", "4000", "--max-num-batched-tokens", "200",
                                      "--network-delay", "1ms", "--goodput", "ttft:600"});
  ASSERT_TRUE(planner.ok()) << planner.status();
  const PrefillTheory theory = TheoryOf(*planner, {.num_prefill = 1, .num_decode = 1});
  EXPECT_EQ(theory.reason, "");
  EXPECT_NEAR(theory.prompt_s, 0.2, 1e-9);
  EXPECT_GT(theory.rate, 1);
  EXPECT_NEAR(theory.simulated_s / theory.formula_s, 1, 0.1);
  EXPECT_THAT(PrefillTheoryText(theory), HasSubstr("mean prompt 200.0 ms"));
}

TEST(PlanQueueTest, LoadIsSharedByPrefillInstances) {
  const auto planner = MakePlanner({MadeUpProfile()}, {"--gpus-per-node", "3"});
  ASSERT_TRUE(planner.ok()) << planner.status();
  RankedCluster winner = {.placement = {.num_prefill = 2, .num_decode = 1}, .score = {}};
  winner.score.samples = {4};
  winner.score.mean_ttft = {absl::Seconds(1)};
  const auto theory = MakePrefillTheory(*planner, winner);
  ASSERT_TRUE(theory.ok()) << theory.status();
  EXPECT_EQ(theory->rate, 2);
  const double messages_s = 4 * 0.2e-3;
  EXPECT_NEAR(theory->formula_s,
              MeanTtft({.kind = QueueKind::kOneDevice, .service_time = 0.2}, 2) + messages_s, 1e-9);
  winner.score.samples = {11};
  EXPECT_THAT(PrefillTheoryText(*MakePrefillTheory(*planner, winner)),
              HasSubstr("no steady state one by one"));
}

TEST(PlanQueueTest, SaysWhereTheFormulaDoesNotApply) {
  const auto planner = MakePlanner({MadeUpProfile()});
  ASSERT_TRUE(planner.ok()) << planner.status();
  const PrefillTheory theory = TheoryOf(*planner, {.num_mixed = 1});
  EXPECT_THAT(PrefillTheoryText(theory), HasSubstr("prefill shares instances with decoding"));
  EXPECT_TRUE(PrefillTheoryJson(theory).is_null());
}

}  // namespace
}  // namespace tandem
