#include "engine/runner/logprobs.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tandem {
namespace {

TEST(ScoreToken, IsTheLogarithmOfTheSoftmax) {
  const std::vector<float> logits = {std::log(0.5f), std::log(0.25f), std::log(0.25f)};
  EXPECT_NEAR(ScoreToken(logits, 0, 0).logprob, std::log(0.5), 1e-6);
  EXPECT_NEAR(ScoreToken(logits, 2, 0).logprob, std::log(0.25), 1e-6);
}

TEST(ScoreToken, DoesNotOverflow) {
  EXPECT_NEAR(ScoreToken({3e38f, 3e38f, -3e38f}, 1, 0).logprob, std::log(0.5), 1e-6);
  EXPECT_NEAR(ScoreToken({-1000.0f, -1001.0f}, 1, 0).logprob, -1 - std::log1p(std::exp(-1.0)),
              1e-4);
}

TEST(ScoreToken, ReportsTheTokenAndNoAlternativesForZero) {
  const SampledToken scored = ScoreToken({1.0f, 2.0f}, 0, 0);
  EXPECT_EQ(scored.token, 0);
  EXPECT_TRUE(scored.top.empty());
}

TEST(ScoreToken, TakesEqualAlternativesByTheirIds) {
  const SampledToken scored = ScoreToken({1.0f, 5.0f, 1.0f, 5.0f, 1.0f}, 0, 4);
  std::vector<TokenId> tokens;
  for (const TokenLogprob& alternative : scored.top) tokens.push_back(alternative.token);
  EXPECT_THAT(tokens, testing::ElementsAre(1, 3, 0, 2));
}

TEST(ScoreToken, AlternativesEqualAFullSort) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal(0, 3);
  std::vector<float> logits(3000);
  for (float& logit : logits) logit = std::round(4 * normal(random)) / 4;
  std::vector<TokenId> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](TokenId a, TokenId b) { return logits[a] > logits[b]; });
  for (int num_top : {1, 5, 20, 2999, 3000, 4000}) {
    const SampledToken scored = ScoreToken(logits, order[7], num_top);
    ASSERT_EQ(scored.top.size(), std::min<size_t>(num_top, logits.size()));
    double sum = 0;
    for (size_t i = 0; i < scored.top.size(); ++i) {
      EXPECT_EQ(scored.top[i].token, order[i]);
      EXPECT_EQ(scored.top[i].logprob, ScoreToken(logits, order[i], 0).logprob);
      sum += std::exp(scored.top[i].logprob);
    }
    if (num_top >= 3000) {
      EXPECT_NEAR(sum, 1.0, 1e-5);
    }
  }
}

}  // namespace
}  // namespace tandem
