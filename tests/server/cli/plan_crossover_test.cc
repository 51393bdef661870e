#include "server/cli/plan_crossover.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/server/cli/planner_fixture.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Crossover Made(const std::vector<std::pair<double, double>>& apart_and_together) {
  Crossover crossover = {.name = "prompt", .quantity = "prompt length", .unit = "tokens"};
  double x = 100;
  for (const auto& [apart, together] : apart_and_together) {
    crossover.points.push_back({.x = x,
                                .apart = {"a", apart, 0.05},
                                .together = {"t", together, 0.05},
                                .difference = {.mean = apart - together, .half_width = 0.1}});
    x *= 2;
  }
  return crossover;
}

TEST(PlanCrossoverTest, SaysWhereTheWinnerChanges) {
  EXPECT_EQ(CrossoverSentence(Made({{1, 2}, {1, 1.5}, {2, 1}})),
            "prompt length: together serves more up to about 252 tokens, apart above");
  EXPECT_EQ(CrossoverSentence(Made({{1, 2}, {2, 1}, {1, 2}})),
            "prompt length: together serves more up to about 141 tokens, apart up to about 283 "
            "tokens, together above");
}

TEST(PlanCrossoverTest, SaysUpToWhereADifferenceIsSeen) {
  EXPECT_EQ(
      CrossoverSentence(Made({{1, 2}, {2, 1}, {0.1, 0.1}})),
      "prompt length: together serves more up to about 141 tokens, apart up to 200 tokens, no "
      "clear difference above");
}

TEST(PlanCrossoverTest, SaysWhereItDoesNot) {
  EXPECT_EQ(CrossoverSentence(Made({{2, 1}, {1, 1}})),
            "prompt length: apart serves more from 100 tokens to 100 tokens, at the other "
            "points there is no clear difference");
  EXPECT_EQ(CrossoverSentence(Made({{1, 1.05}, {1, 1}})),
            "prompt length: no clear difference at any of these points");
  EXPECT_EQ(CrossoverSentence(Made({{2, 1}, {3, 1}})),
            "prompt length: apart serves more from 100 tokens to 200 tokens");
}

TEST(PlanCrossoverTest, PointsWithoutAClearDifferenceDoNotCount) {
  EXPECT_EQ(CrossoverSentence(Made({{1, 2}, {1.05, 1}, {2, 1}})),
            "prompt length: together serves more up to about 200 tokens, apart above");
}

TEST(PlanCrossoverTest, ThePlotHasBothCurves) {
  const std::string svg = RenderPlot(CrossoverPlot(Made({{1, 2}, {2, 1}})));
  EXPECT_THAT(svg, HasSubstr("Goodput over prompt length"));
  EXPECT_THAT(svg, HasSubstr("prefill and decode apart"));
}

TEST(PlanCrossoverTest, UnknownQuantitiesAreNamed) {
  EXPECT_THAT(*ParseCrossovers("slo,prompt"), ElementsAre("slo", "prompt"));
  EXPECT_THAT(std::string(ParseCrossovers("prompt,size").status().message()),
              HasSubstr("got \"prompt,size\""));
}

TEST(PlanCrossoverTest, ALooseTpotBringsThemTogetherAndASlowLinkToo) {
  const auto planner = MakePlanner({MadeUpProfile()}, {"--link-bandwidth", "100MB", "--seeds", "3",
                                                       "--goodput", "ttft:1000,tpot:16"});
  ASSERT_TRUE(planner.ok()) << planner.status();
  const auto base = planner->Rank(planner->Candidates(), {}, {});
  ASSERT_TRUE(base.ok()) << base.status();
  int num_shown = 0;
  const auto progress = [&](int, int) { ++num_shown; };
  const auto slo = FindCrossover(*planner, *base, "slo", progress);
  ASSERT_TRUE(slo.ok()) << slo.status();
  EXPECT_EQ(num_shown, slo->points.size() - 1) << "one was known";
  EXPECT_GT(slo->points.back().together.per_device, slo->points.back().apart.per_device);
  const auto here = std::find_if(slo->points.begin(), slo->points.end(),
                                 [](const CrossoverPoint& point) { return point.x == 1; });
  EXPECT_GT(here->apart.per_device, here->together.per_device);
  EXPECT_EQ(here->apart.per_device, base->Best(true)->PerDevice());
  const auto link = FindCrossover(*planner, *base, "link", progress);
  ASSERT_TRUE(link.ok()) << link.status();
  EXPECT_EQ(link->points.front().Winner(), -1);
  EXPECT_EQ(link->points.front().apart.per_device, 0);
  EXPECT_NEAR(link->points.back().apart.per_device / base->Best(true)->PerDevice(), 1, 0.03);
  EXPECT_NEAR(link->here, 0.1, 1e-12);
  EXPECT_THAT(CrossoverTable(*link),
              HasSubstr("link bandwidth: together serves more up to about 0.0"));
}

TEST(PlanCrossoverTest, PointsAreWhatASearchFromScratchFinds) {
  const auto planner = MakePlanner({MadeUpProfile()}, {"--requests", "200"});
  ASSERT_TRUE(planner.ok()) << planner.status();
  const auto base = planner->Rank(planner->Candidates(), {}, {});
  ASSERT_TRUE(base.ok()) << base.status();
  const auto slo = FindCrossover(*planner, *base, "slo", [](int, int) {});
  ASSERT_TRUE(slo.ok()) << slo.status();
  for (const CrossoverPoint& point : slo->points) {
    const auto scratch = planner->Rank(planner->Candidates(), {.targets = point.x}, {});
    ASSERT_TRUE(scratch.ok()) << scratch.status();
    for (const bool is_apart : {true, false}) {
      const CrossoverSide& side = is_apart ? point.apart : point.together;
      const RankedCluster* best = scratch->Best(is_apart);
      const double rate = best == nullptr ? 0 : best->PerDevice();
      EXPECT_NEAR(side.per_device, rate, 0.05 * rate) << point.x << " " << is_apart;
    }
  }
}

TEST(PlanCrossoverTest, PromptsThatNoKvPoolHoldsAreLeftOut) {
  const auto planner = MakePlanner({MadeUpProfile()}, {"--kv-tokens", "448"});
  ASSERT_TRUE(planner.ok()) << planner.status();
  const auto base = planner->Rank(planner->Candidates(), {}, {});
  ASSERT_TRUE(base.ok()) << base.status();
  const auto prompt = FindCrossover(*planner, *base, "prompt", [](int, int) {});
  ASSERT_TRUE(prompt.ok()) << prompt.status();
  std::vector<double> lengths;
  for (const CrossoverPoint& point : prompt->points) lengths.push_back(point.x);
  EXPECT_THAT(lengths, ElementsAre(25, 50, 100, 200, 400));
}

}  // namespace
}  // namespace tandem
