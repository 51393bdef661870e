#include "server/cli/cluster_planner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "tests/server/cli/planner_fixture.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> CandidateNames(const ClusterPlanner& planner) {
  std::vector<std::string> names;
  for (const ClusterPlacement& placement : planner.Candidates()) {
    names.push_back(placement.ToString());
  }
  return names;
}

ClusterRanking Rank(const ClusterPlanner& planner, const PlanScenario& scenario = {}) {
  auto ranking = planner.Rank(planner.Candidates(), scenario, {});
  EXPECT_TRUE(ranking.ok()) << ranking.status();
  return *std::move(ranking);
}

std::string WriteCluster(const std::string& text) {
  const std::string path = testing::TempDir() + "cluster_planner_test.yaml";
  std::ofstream(path) << text;
  return path;
}

TEST(ClusterPlannerTest, LowAffinityPlacesOnOneNodeAndHighOnAll) {
  const auto low = MakePlanner({MadeUpProfile()}, {"--nodes", "2"});
  ASSERT_TRUE(low.ok()) << low.status();
  EXPECT_THAT(CandidateNames(*low), ElementsAre("1 mixed", "2 mixed", "1 prefill + 1 decode"));
  const auto high = MakePlanner({MadeUpProfile()}, {"--nodes", "2", "--affinity", "high"});
  ASSERT_TRUE(high.ok()) << high.status();
  EXPECT_THAT(CandidateNames(*high), testing::SizeIs(14));
  EXPECT_EQ(low->Copies({.num_prefill = 1, .num_decode = 1}, 9)->size(), 2);
}

TEST(ClusterPlannerTest, RanksOfMoreThreadsTakeMoreDevicesAndTooLargeOnesAreNamed) {
  const std::string cluster = WriteCluster("nodes: [{devices: 4, cores-per-device: 1}]");
  const auto planner = MakePlanner({MadeUpProfile(1, 2), MadeUpProfile(1, 4), MadeUpProfile(4, 2)},
                                   {"--gpus-per-node", "0", "--cluster", cluster});
  ASSERT_TRUE(planner.ok()) << planner.status();
  EXPECT_THAT(
      CandidateNames(*planner),
      ElementsAre("1 mixed (2 threads)", "2 mixed (2 threads)", "1 mixed (4 threads)",
                  "1 prefill (2 threads) + 1 decode (2 threads)", "1 mixed (TP 4, 2 threads)"));
  const ClusterRanking ranking = Rank(*planner);
  ASSERT_EQ(ranking.unrunnable.size(), 1);
  EXPECT_EQ(ranking.unrunnable[0].placement.mixed.tp, 4);
  EXPECT_THAT(ranking.unrunnable[0].reason, HasSubstr("devices"));
}

TEST(ClusterPlannerTest, WhatDoesNotFitTheMemoryCannotRun) {
  // 100 MB of weights and 16 MB of KV.
  for (const auto& [memory, fits] : {std::pair{"117MB", true}, {"116MB", false}}) {
    const std::string cluster =
        WriteCluster(absl::StrCat("nodes: [{devices: 1, memory: ", memory, "}]"));
    const auto planner =
        MakePlanner({MadeUpProfile()}, {"--gpus-per-node", "0", "--cluster", cluster});
    ASSERT_TRUE(planner.ok()) << planner.status();
    const ClusterRanking ranking = Rank(*planner);
    EXPECT_EQ(ranking.HasWinner(), fits);
    if (fits) continue;
    EXPECT_THAT(ranking.unrunnable.at(0).reason, HasSubstr("0.11 GiB of each device"));
  }
}

TEST(ClusterPlannerTest, ASlowLinkBetweenNodesCostsWhatCrossesIt) {
  const std::string cluster =
      WriteCluster("nodes: [{devices: 1, count: 2}]\nlinks: {within: 1GB, between: 200KB}");
  const ClusterPlacement pair = {.num_prefill = 1, .num_decode = 1};
  const std::vector<InstanceProfile> profiles = {MadeUpProfile()};
  const std::vector<std::string> args = {"--gpus-per-node", "0",          "--cluster",
                                         cluster,           "--affinity", "high"};
  const auto planner = MakePlanner(profiles, args);
  ASSERT_TRUE(planner.ok()) << planner.status();
  const auto slow = planner->Rank({pair}, {}, {});
  const auto fast = planner->Rank({pair}, {.link_bandwidth = 1000}, {});
  ASSERT_TRUE(slow.ok() && fast.ok());
  // A prompt's KV takes a second there, so its second token misses the target.
  EXPECT_LT(slow->ranked[0].score.rate.mean, 0.5 * fast->ranked[0].score.rate.mean);
}

TEST(ClusterPlannerTest, EachPartOfAScenarioMatters) {
  const auto planner = MakePlanner({MadeUpProfile()}, {"--kv-tokens", "320"});
  ASSERT_TRUE(planner.ok()) << planner.status();
  const ClusterPlacement pair = {.num_prefill = 1, .num_decode = 1};
  const auto rate = [&](const PlanScenario& scenario) {
    return planner->Rank({pair}, scenario, {})->ranked[0].score.rate.mean;
  };
  const double here = rate({});
  ASSERT_GT(here, 0);
  EXPECT_LT(rate({.prompt_tokens = 1.5}), here);
  EXPECT_LT(rate({.output_tokens = 4}), here);
  EXPECT_LT(rate({.link_bandwidth = 1e-5}), here);
  EXPECT_NE(rate({.kv_tokens = 4}), here);
  EXPECT_GT(rate({.targets = 3}), here);
  const auto slower = [](LatencyCoefficients* latency) { latency->prefill.token_ms *= 2; };
  EXPECT_LT(rate({.change_latency = slower}), here);
}

TEST(ClusterPlannerTest, EveryNumberOfThreadsFindsTheSamePlan) {
  std::vector<std::vector<double>> samples;
  for (const char* threads : {"1", "3"}) {
    const auto planner = MakePlanner({MadeUpProfile()}, {"--threads", threads});
    ASSERT_TRUE(planner.ok()) << planner.status();
    const ClusterRanking ranking = Rank(*planner);
    std::vector<double>& all = samples.emplace_back();
    for (const RankedCluster& entry : ranking.ranked) {
      all.insert(all.end(), entry.score.samples.begin(), entry.score.samples.end());
    }
  }
  EXPECT_EQ(samples[0], samples[1]);
}

TEST(ClusterPlannerTest, TargetsThatNothingMeetsHaveNoWinner) {
  const auto planner = MakePlanner({MadeUpProfile()}, {"--goodput", "ttft:1"});
  ASSERT_TRUE(planner.ok()) << planner.status();
  EXPECT_FALSE(Rank(*planner).HasWinner());
}

}  // namespace
}  // namespace tandem
