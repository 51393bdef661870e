#include "scheduler/planner/cluster_scorer.h"

#include <gtest/gtest.h>

namespace tandem {
namespace {

// A prefill takes 1 ms per token and a step of decoding 10 ms, whatever is in it.
SimInstanceOptions Instance(InstanceRole role) {
  return {.role = role,
          .scheduler = {.num_blocks = 4000,
                        .max_model_len = 4096,
                        .max_num_seqs = 256,
                        .max_num_batched_tokens = 512,
                        .max_queued_requests = 100000},
          .latency = LatencyModel::Create({.prefill = {0, 1, 0}, .decode = {10, 0, 0}}).value(),
          .kv_bytes_per_token = 1000,
          .num_layers = 10};
}

SimulationOptions Apart() {
  SimulationOptions options;
  options.instances = {Instance(InstanceRole::kPrefill), Instance(InstanceRole::kDecode)};
  return options;
}

SimulationOptions Together() {
  SimulationOptions options;
  options.instances = {Instance(InstanceRole::kMixed), Instance(InstanceRole::kMixed)};
  return options;
}

ClusterScorerOptions Options(absl::Duration ttft, absl::Duration tpot) {
  ClusterScorerOptions options;
  options.targets = {.ttft = ttft, .tpot = tpot};
  options.search.min_rate = 0.2;
  options.num_seeds = 2;
  options.num_warmup = 20;
  options.make_workload = [](double rate, int seed) {
    Workload workload = DrawWorkload({.num_requests = 200,
                                      .prompt = LengthDistribution::Exactly(200),
                                      .output = LengthDistribution::Exactly(20)},
                                     seed);
    SetArrivals(workload, {.rate = rate}, seed);
    return workload;
  };
  return options;
}

TEST(ClusterScorerTest, ATightTpotWantsPrefillAndDecodeApart) {
  const auto options = Options(absl::Seconds(2), absl::Milliseconds(12));
  const auto apart = ScoreCluster(Apart(), options);
  const auto together = ScoreCluster(Together(), options);
  ASSERT_TRUE(apart.ok() && together.ok());
  EXPECT_GT(apart->rate.mean, 2 * together->rate.mean);
  EXPECT_GT(together->tpot_missed, together->ttft_missed) << "and it says why";
}

TEST(ClusterScorerTest, ALooseTpotWantsBothToPrefill) {
  const auto options = Options(absl::Seconds(2), absl::Seconds(1));
  const auto apart = ScoreCluster(Apart(), options);
  const auto together = ScoreCluster(Together(), options);
  ASSERT_TRUE(apart.ok() && together.ok());
  EXPECT_GT(together->rate.mean, 1.3 * apart->rate.mean);
  EXPECT_GT(apart->ttft_missed, apart->tpot_missed);
  EXPECT_LT(apart->rate.mean, 5) << "200 ms of prefill each";
}

TEST(ClusterScorerTest, TargetsThatNothingMeetsHaveNoRate) {
  const auto score = ScoreCluster(Apart(), Options(absl::Milliseconds(100), absl::Seconds(1)));
  ASSERT_TRUE(score.ok());
  EXPECT_EQ(score->rate.mean, 0);
  EXPECT_DOUBLE_EQ(score->ttft_missed, 1);
  EXPECT_EQ(score->num_simulations, 2) << "those that are alone miss them too: one for each seed";
}

TEST(ClusterScorerTest, TheSameSeedsGiveTheSameScore) {
  const auto options = Options(absl::Seconds(1), absl::Milliseconds(30));
  const auto first = ScoreCluster(Together(), options);
  const auto second = ScoreCluster(Together(), options);
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(first->samples, second->samples);
  EXPECT_EQ(first->samples.size(), 2);
}

}  // namespace
}  // namespace tandem
