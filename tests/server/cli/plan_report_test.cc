#include "server/cli/plan_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tandem {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr Placement kSmall = {1, {2, 1}, Parallelism{1, 1}};
constexpr Placement kLarge = {2, {2, 1}, Parallelism{1, 1}};
constexpr Placement kMissing = {1, {3, 1}, Parallelism{1, 1}};

PlanReport MakeReport() {
  PlanReport report = {.title = "a model", .demand = 10, .elapsed = absl::Milliseconds(250)};
  report.ranking.ranked = {
      {kSmall, {.per_gpu = 2, .half_width = .1, .samples = {1.95, 2.05}, .num_simulations = 4}},
      {kLarge, {.per_gpu = 1.9, .half_width = .1, .samples = {1.8, 2}, .num_simulations = 4}}};
  report.ranking.unrunnable = {{kMissing, "no step times"}};
  report.segments = LocateSegments(kSmall, {40, 40}, {2, 4});
  return report;
}

TEST(PlanReportTest, TheTableHasEveryPlacementAndTheWinner) {
  const std::string table = PlanTable(MakeReport());
  EXPECT_THAT(table, HasSubstr("(1, 2, 1, 1, 1)          3              2         6  +- 0.1000"));
  EXPECT_THAT(table, HasSubstr("cannot run, no step times: (1, 3, 1, 1, 1)"));
  EXPECT_THAT(table, HasSubstr("winner    (1, 2, 1, 1, 1): 2 requests/s per GPU"));
  EXPECT_THAT(table, HasSubstr("not told apart from it: (2, 2, 1, 1, 1)"));
  EXPECT_THAT(table, HasSubstr("node 0    layers 0-39: GPUs 0-1 prefill, 2 decode"));
  EXPECT_THAT(table, HasSubstr("10 requests/s: 2 x (1, 2, 1, 1, 1) on 6 GPUs"));
  EXPECT_THAT(table, HasSubstr("3 placements (1 cannot run), 8 simulations in 0.250 s"));
}

TEST(PlanReportTest, AGoodputAtTheHighestRateIsCalledOne) {
  PlanReport report = MakeReport();
  EXPECT_THAT(PlanTable(report), Not(HasSubstr("highest rate tried")));
  report.rate_bounds = {.max_rate = 2.2, .tolerance = 0.25};
  EXPECT_THAT(PlanTable(report), HasSubstr("highest rate tried, 2.2 per GPU"));
}

TEST(PlanReportTest, ColocatedPhasesShareTheirGpus) {
  PlanReport report = MakeReport();
  report.segments = LocateSegments({1, {4, 1}, std::nullopt}, {40, 40}, {1, 4});
  EXPECT_THAT(PlanTable(report), HasSubstr("GPUs 0-3 prefill and decode\n"));
}

TEST(PlanReportTest, WithoutAWinnerItSaysNone) {
  PlanReport report = MakeReport();
  for (RankedPlacement& entry : report.ranking.ranked) entry.score = {};
  EXPECT_THAT(PlanTable(report), HasSubstr("winner    none: no placement meets the targets"));
  EXPECT_THAT(PlanTable(report), Not(HasSubstr("demand")));
  EXPECT_TRUE(PlanJson(report)["winner"].is_null());
  EXPECT_TRUE(PlanJson(report)["replicas"].is_null());
  report.ranking.ranked.clear();
  EXPECT_THAT(PlanTable(report), HasSubstr("winner    none: no placement can run"));
}

TEST(PlanReportTest, TheJsonHasWhatTheTableHas) {
  const nlohmann::ordered_json json = PlanJson(MakeReport());
  EXPECT_EQ(json["winner"], "(1, 2, 1, 1, 1)");
  EXPECT_EQ(json["tied"][0], "(2, 2, 1, 1, 1)");
  EXPECT_EQ(json["placements"][1]["goodput_per_gpu"], 1.9);
  EXPECT_EQ(json["placements"][1]["num_gpus"], 6);
  EXPECT_EQ(json["unrunnable"][0]["reason"], "no step times");
  EXPECT_EQ(json["segments"][0]["first_decode_gpu"], 2);
  EXPECT_EQ(json["replicas"], 2);
}

TEST(PlanReportTest, PhasesHaveAWinnerEachAndWhatTheyServeTogether) {
  PhasePlan plan;
  plan.prefill.ranked = {{{1, {2, 1}, std::nullopt}, {.per_gpu = 3}}};
  plan.decode.ranked = {{{1, {1, 1}, std::nullopt}, {.per_gpu = 6}}};
  const std::string table = PhasePlanTable(plan, MakeReport());
  EXPECT_THAT(table, HasSubstr("together  2 requests/s per GPU"));
  EXPECT_THAT(table, HasSubstr("prefill 2 x (2, 1) on 4 GPUs, decode 2 x (1, 1) on 2 GPUs"));
  EXPECT_EQ(PhasePlanJson(plan, MakeReport())["prefill"]["winner"], "(2, 1)");
}

}  // namespace
}  // namespace tandem
