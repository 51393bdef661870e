#include "engine/runner/sampler.h"

#include <cmath>
#include <limits>
#include <random>

#include "engine/runner/logprobs.h"
#include "engine/runner/token_filter.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;

SamplingParams Greedy() {
  SamplingParams params;
  params.temperature = 0;
  return params;
}

TokenId Sample(const std::vector<float>& logits, const SamplingParams& params,
               const std::vector<TokenId>& tokens = {0}, int num_prompt_tokens = 1) {
  const absl::StatusOr<SampledToken> sampled =
      Sampler().Sample(logits, tokens, num_prompt_tokens, params);
  EXPECT_TRUE(sampled.ok()) << sampled.status();
  return sampled.ok() ? sampled->token : -1;
}

TEST(Sampler, GreedyTakesTheLowestOfEqualIds) {
  EXPECT_EQ(Sample({1.0f, 7.0f, 7.0f, 2.0f}, Greedy()), 1);
}

TEST(Sampler, GreedyIgnoresFiltersAndSeed) {
  SamplingParams params = Greedy();
  params.top_k = 3;
  params.top_p = 0.5f;
  params.min_p = 0.9f;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    params.seed = seed;
    EXPECT_EQ(Sample({1.0f, 2.0f, 2.01f}, params), 2);
  }
}

TEST(Sampler, GreedyObeysPenaltiesAndBias) {
  SamplingParams params = Greedy();
  params.logit_bias = {{0, 2.0f}};
  EXPECT_EQ(Sample({1.0f, 2.0f}, params), 0);
  params = Greedy();
  params.presence_penalty = 1.5f;
  EXPECT_EQ(Sample({1.0f, 2.0f}, params, {1, 1}, 2), 1) << "the prompt does not count";
  EXPECT_EQ(Sample({1.0f, 2.0f}, params, {1, 1}, 1), 0);
}

TEST(Sampler, TakesATinyTemperatureForGreedy) {
  SamplingParams params;
  params.temperature = 1e-6f;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    params.seed = seed;
    EXPECT_EQ(Sample({1.0f, 1.0001f}, params), 1);
  }
}

TEST(Sampler, DrawsTheSameForTheSameSeedSampleAndPosition) {
  const std::vector<float> logits(1000, 0.5f);
  SamplingParams params;
  params.seed = 99;
  params.sample_index = 2;
  const TokenId drawn = Sample(logits, params, {1, 2, 3}, 1);
  EXPECT_EQ(drawn, Sample(logits, params, {1, 2, 3}, 1));
  EXPECT_EQ(drawn, Sample(logits, params, {7, 8, 9}, 3)) << "only the position counts";
  EXPECT_NE(drawn, Sample(logits, params, {1, 2, 3, 4}, 1));
  params.sample_index = 3;
  EXPECT_NE(drawn, Sample(logits, params, {1, 2, 3}, 1));
}

TEST(Sampler, ReportsLogprobsOfTheRawDistribution) {
  const std::vector<float> logits = {0.0f, 1.0f, 2.0f, 3.0f};
  SamplingParams params = Greedy();
  params.logit_bias = {{3, -100.0f}};
  params.num_logprobs = 2;
  const absl::StatusOr<SampledToken> sampled = Sampler().Sample(logits, {0}, 1, params);
  ASSERT_TRUE(sampled.ok());
  EXPECT_EQ(sampled->token, 2);
  EXPECT_EQ(sampled->logprob, ScoreToken(logits, 2, 0).logprob);
  ASSERT_EQ(sampled->top.size(), 2u);
  EXPECT_EQ(sampled->top[0].token, 3) << "best of the model, though it may not be drawn";
  EXPECT_EQ(sampled->top[1].token, 2);
}

TEST(Sampler, ReportsNoLogprobsUnlessAsked) {
  const absl::StatusOr<SampledToken> sampled = Sampler().Sample({1.0f, 2.0f}, {0}, 1, Greedy());
  ASSERT_TRUE(sampled.ok());
  EXPECT_EQ(sampled->logprob, 0);
  EXPECT_TRUE(sampled->top.empty());
}

TEST(Sampler, RefusesLogitsThatAreNotFinite) {
  for (float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                    -std::numeric_limits<float>::infinity()}) {
    const absl::StatusOr<SampledToken> sampled = Sampler().Sample({1.0f, bad}, {0}, 1, Greedy());
    EXPECT_EQ(sampled.status().code(), absl::StatusCode::kInternal);
    EXPECT_THAT(sampled.status().message(), HasSubstr("token 1"));
  }
}

TEST(Sampler, RefusesParametersThatLeaveNothingToDraw) {
  SamplingParams params;
  params.min_tokens = 5;
  params.stop_token_ids = {0, 1};
  EXPECT_EQ(Sampler().Sample({1.0f, 2.0f}, {0}, 1, params).status().code(),
            absl::StatusCode::kInvalidArgument);
  params = {};
  params.repetition_penalty = std::numeric_limits<float>::denorm_min();
  EXPECT_EQ(Sampler().Sample({1.0f, 2.0f}, {1}, 1, params).status().code(),
            absl::StatusCode::kInvalidArgument);
}

// Pearson's statistic of `draws` draws with consecutive seeds or positions, over what may be drawn.
// Reports tokens that may not be drawn as failures.
double ChiSquare(const std::vector<float>& logits, SamplingParams params, int draws,
                 bool along_positions, int* degrees) {
  TokenFilterParams filter;
  filter.temperature = params.temperature;
  filter.min_p = params.min_p;
  filter.top_k = params.top_k;
  filter.top_p = params.top_p;
  std::vector<double> expected(logits.size(), 0);
  std::vector<Candidate> candidates;
  FilterTokens(logits, filter, candidates);
  double total = 0;
  for (const Candidate& candidate : candidates) {
    expected[candidate.token] = candidate.weight;
    total += candidate.weight;
  }
  std::vector<int> counts(logits.size(), 0);
  std::vector<TokenId> tokens = {0};
  for (int i = 0; i < draws; ++i) {
    if (along_positions) {
      tokens.push_back(0);
    } else {
      params.seed = i;
    }
    ++counts[Sample(logits, params, tokens, 1)];
  }
  double statistic = 0;
  *degrees = -1;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (expected[i] == 0) {
      EXPECT_EQ(counts[i], 0) << "token " << i << " was filtered out";
      continue;
    }
    const double mean = expected[i] / total * draws;
    statistic += (counts[i] - mean) * (counts[i] - mean) / mean;
    ++*degrees;
  }
  return statistic;
}

// Wilson and Hilferty's approximation of the 99.9% quantile.
double ChiSquareLimit(int degrees) {
  const double d = 2.0 / (9.0 * degrees);
  return degrees * std::pow(1 - d + 3.09 * std::sqrt(d), 3);
}

TEST(Sampler, DrawsInProportionToTheFilteredDistribution) {
  const std::vector<float> logits = {0.3f, -0.5f, 1.2f, 0.0f, 0.9f, -1.0f, 0.6f, 0.1f};
  SamplingParams plain;
  SamplingParams cold = plain, hot = plain, top_k = plain, top_p = plain, min_p = plain;
  cold.temperature = 0.5f;
  hot.temperature = 3.0f;
  top_k.top_k = 4;
  top_p.top_p = 0.7f;
  min_p.min_p = 0.35f;
  SamplingParams all = cold;
  all.temperature = 0.8f;
  all.top_k = 6;
  all.top_p = 0.95f;
  all.min_p = 0.1f;
  for (const SamplingParams& params : {plain, cold, hot, top_k, top_p, min_p, all}) {
    for (bool along_positions : {false, true}) {
      int degrees = 0;
      const double statistic = ChiSquare(logits, params, 10000, along_positions, &degrees);
      ASSERT_GT(degrees, 0);
      EXPECT_LT(statistic, ChiSquareLimit(degrees))
          << "temperature " << params.temperature << " top_k " << params.top_k << " top_p "
          << params.top_p << " min_p " << params.min_p << " positions " << along_positions;
    }
  }
}

TEST(Sampler, RaisesATemperatureNearZeroToOneHundredth) {
  SamplingParams params;
  params.temperature = 0.002f;
  int second = 0;
  for (uint64_t seed = 0; seed < 2000; ++seed) {
    params.seed = seed;
    second += Sample({0.01f, 0.0f}, params) == 1;
  }
  // At 0.01 the second token's share is 1 / (1 + e) = 0.27; at 0.002 it were 0.007.
  EXPECT_NEAR(second / 2000.0, 0.269, 0.03);
}

}  // namespace
}  // namespace tandem
