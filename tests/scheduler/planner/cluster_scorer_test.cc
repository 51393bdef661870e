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

SeedScore Score(const SimulationOptions& cluster, const ClusterScorerOptions& options,
                const RateGuess& guess = {}, int seed = 0) {
  const auto score = ScoreSeed(cluster, options, seed, guess);
  EXPECT_TRUE(score.ok()) << score.status();
  return *score;
}

TEST(ClusterScorerTest, ATightTpotWantsPrefillAndDecodeApart) {
  const auto options = Options(absl::Seconds(2), absl::Milliseconds(12));
  const SeedScore apart = Score(Apart(), options), together = Score(Together(), options);
  EXPECT_GT(apart.rate, 2 * together.rate);
  EXPECT_GT(together.tpot_missed, together.ttft_missed) << "and it says why";
}

TEST(ClusterScorerTest, ALooseTpotWantsBothToPrefill) {
  const auto options = Options(absl::Seconds(2), absl::Seconds(1));
  const SeedScore apart = Score(Apart(), options), together = Score(Together(), options);
  EXPECT_GT(together.rate, 1.3 * apart.rate);
  EXPECT_GT(apart.ttft_missed, apart.tpot_missed);
  EXPECT_LT(apart.rate, 5.5) << "200 ms of prefill each, and a queue that the run is too short for";
}

TEST(ClusterScorerTest, TargetsThatNothingMeetsHaveNoRate) {
  const SeedScore score = Score(Apart(), Options(absl::Milliseconds(100), absl::Seconds(1)));
  EXPECT_EQ(score.rate, 0);
  EXPECT_DOUBLE_EQ(score.ttft_missed, 1);
  EXPECT_LE(score.num_simulations, 3) << "those that are alone miss them too";
}

TEST(ClusterScorerTest, TheSameSeedGivesTheSameScoreAndAnotherOneAnother) {
  const auto options = Options(absl::Seconds(1), absl::Milliseconds(30));
  EXPECT_EQ(Score(Together(), options).rate, Score(Together(), options).rate);
  EXPECT_NE(Score(Together(), options).rate, Score(Together(), options, {}, 1).rate);
}

TEST(ClusterScorerTest, WhereTheSearchBeginsHardlyMatters) {
  const auto options = Options(absl::Seconds(1), absl::Milliseconds(30));
  const SeedScore far = Score(Together(), options);
  const SeedScore near = Score(Together(), options, {.rate = 0.95 * far.rate, .step = 1.05});
  EXPECT_NEAR(near.rate / far.rate, 1, 0.02) << "attainment is interpolated, so better than 5%";
  EXPECT_LT(near.num_simulations, far.num_simulations);
  EXPECT_GT(near.failing, near.rate);
}

TEST(ClusterScorerTest, ASimilarSituationSparesRuns) {
  auto options = Options(absl::Seconds(1), absl::Milliseconds(30));
  options.search.tolerance = 0.02;
  const SeedScore from_scratch = Score(Together(), options);
  EXPECT_GT(from_scratch.fall, 0.1);
  for (const double factor : {0.8, 1.0, 1.25}) {
    const SeedScore near =
        Score(Together(), options, {.rate = factor * from_scratch.rate, .fall = from_scratch.fall});
    EXPECT_NEAR(near.rate / from_scratch.rate, 1, 0.02) << factor;
    EXPECT_LT(near.num_simulations, from_scratch.num_simulations) << factor;
    EXPECT_GT(near.fall, 0) << factor;
    EXPECT_NEAR(absl::FDivDuration(near.mean_ttft, from_scratch.mean_ttft), 1, 0.2) << factor;
  }
}

TEST(ClusterScorerTest, AGuessThatIsFarOffIsFoundAllTheSame) {
  const auto options = Options(absl::Seconds(1), absl::Milliseconds(30));
  const double rate = Score(Together(), options).rate;
  for (const double factor : {0.02, 40.0}) {
    const SeedScore score = Score(Together(), options, {.rate = factor * rate, .fall = 5});
    EXPECT_NEAR(score.rate / rate, 1, 0.03) << factor;
  }
}

TEST(ClusterScorerTest, ASimilarSituationGivesNoRateToTargetsThatNothingMeets) {
  const SeedScore score =
      Score(Apart(), Options(absl::Milliseconds(100), absl::Seconds(1)), {.rate = 1, .fall = 2});
  EXPECT_EQ(score.rate, 0);
  EXPECT_LE(score.num_simulations, 3);
}

TEST(ClusterScorerTest, WhatDoesNotServeTheLeastRateIsLeftAtThat) {
  const auto options = Options(absl::Seconds(1), absl::Milliseconds(30));
  const double rate = Score(Together(), options).rate;
  const SeedScore less = Score(Together(), options, {.rate = 1.5 * rate, .is_least = true});
  EXPECT_EQ(less.rate, 0);
  EXPECT_EQ(less.failing, 1.5 * rate);
  EXPECT_EQ(less.num_simulations, 1);
  const SeedScore more = Score(Together(), options, {.rate = 0.7 * rate, .is_least = true});
  EXPECT_NEAR(more.rate / rate, 1, 0.02);
}

TEST(ClusterScorerTest, SeedsCombineToTheirMeanWithItsInterval) {
  const ClusterScore score =
      Combine({{.rate = 1, .fall = 4, .mean_ttft = absl::Seconds(1), .ttft_missed = 0.1},
               {.rate = 3, .fall = 5, .mean_ttft = absl::Seconds(2), .unserved = 0.2}});
  EXPECT_DOUBLE_EQ(score.rate.mean, 2);
  EXPECT_GT(score.rate.half_width, 10) << "two seeds tell little";
  EXPECT_EQ(score.samples, (std::vector<double>{1, 3}));
  EXPECT_EQ(score.falls, (std::vector<double>{4, 5}));
  EXPECT_EQ(score.mean_ttft[1], absl::Seconds(2));
  EXPECT_DOUBLE_EQ(score.ttft_missed, 0.05);
  EXPECT_DOUBLE_EQ(score.unserved, 0.1);
}

}  // namespace
}  // namespace tandem
