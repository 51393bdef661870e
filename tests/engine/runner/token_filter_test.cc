#include "engine/runner/token_filter.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::vector<TokenId> Tokens(const std::vector<Candidate>& candidates) {
  std::vector<TokenId> tokens;
  for (const Candidate& candidate : candidates) tokens.push_back(candidate.token);
  return tokens;
}

std::vector<Candidate> Filter(const std::vector<float>& logits, const TokenFilterParams& params) {
  std::vector<Candidate> candidates = {{-5, 2.0f}};  // of an earlier token
  FilterTokens(logits, params, candidates);
  return candidates;
}

std::vector<double> Softmax(const std::vector<double>& x) {
  const double largest = *std::max_element(x.begin(), x.end());
  std::vector<double> p(x.size());
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) sum += p[i] = std::exp(x[i] - largest);
  for (double& value : p) value /= sum;
  return p;
}

// Each filter as its definition says, with whole sorts and one softmax after another. Returns the
// probabilities that are left.
std::vector<double> NaiveFilter(const std::vector<float>& logits, const TokenFilterParams& params) {
  std::vector<double> x(logits.begin(), logits.end());
  for (double& value : x) value /= params.temperature;

  const std::vector<double> p = Softmax(x);
  const double floor = params.min_p * *std::max_element(p.begin(), p.end());
  for (size_t i = 0; i < x.size(); ++i) {
    if (p[i] < floor * (1 - 1e-6)) x[i] = -kInfinity;
  }

  if (params.top_k > 0 && params.top_k < static_cast<int>(x.size())) {
    std::vector<double> sorted = x;
    std::sort(sorted.begin(), sorted.end(), std::greater<double>());
    for (double& value : x) {
      if (value < sorted[params.top_k - 1]) value = -kInfinity;
    }
  }

  // Ascending, as vLLM does it: what sums up to 1 - top_p goes, but never the last.
  const std::vector<double> left = Softmax(x);
  std::vector<int> order(x.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(),
            [&](int a, int b) { return left[a] < left[b] || (left[a] == left[b] && a > b); });
  double sum = 0;
  for (size_t i = 0; i + 1 < order.size() && params.top_p < 1; ++i) {
    sum += left[order[i]];
    if (sum <= 1.0 - params.top_p) x[order[i]] = -kInfinity;
  }
  return Softmax(x);
}

void ExpectLikeNaive(const std::vector<float>& logits, const TokenFilterParams& params) {
  const std::vector<double> expected = NaiveFilter(logits, params);
  std::vector<double> actual(logits.size(), 0.0);
  double total = 0;
  TokenId previous = -1;
  for (const Candidate& candidate : Filter(logits, params)) {
    ASSERT_GT(candidate.token, previous) << "not in order of ids";
    previous = candidate.token;
    actual[candidate.token] = candidate.weight;
    total += candidate.weight;
  }
  for (size_t i = 0; i < logits.size(); ++i) {
    ASSERT_NEAR(actual[i] / total, expected[i], 1e-5)
        << "token " << i << " logit " << logits[i] << " temperature " << params.temperature
        << " min_p " << params.min_p << " top_k " << params.top_k << " top_p " << params.top_p;
  }
}

std::vector<float> RandomLogits(std::mt19937& random, int size, float spread) {
  std::normal_distribution<float> normal(0, spread);
  std::vector<float> logits(size);
  for (float& logit : logits) logit = normal(random);
  return logits;
}

TEST(FilterTokens, KeepsEveryTokenWithoutFilters) {
  EXPECT_THAT(Tokens(Filter({0.5f, -1.0f, 3.0f}, {})), ElementsAre(0, 1, 2));
}

TEST(FilterTokens, TopKKeepsTokensEqualToTheKth) {
  TokenFilterParams params;
  params.top_k = 2;
  EXPECT_THAT(Tokens(Filter({1.0f, 3.0f, 1.0f, 0.0f, 1.0f}, params)), ElementsAre(0, 1, 2, 4));
}

TEST(FilterTokens, TopPTakesEqualTokensByTheirIds) {
  TokenFilterParams params;
  params.top_p = 0.5f;
  EXPECT_THAT(Tokens(Filter({1.0f, 1.0f, 1.0f, 1.0f}, params)), ElementsAre(0, 1));
}

TEST(FilterTokens, TopPCountsShareOfWhatTopKLeaves) {
  // Shares 0.4, 0.3, 0.2, 0.1; of the first two 0.57 and 0.43. Of all four, 0.55 takes two.
  const std::vector<float> logits = {std::log(0.4f), std::log(0.3f), std::log(0.2f),
                                     std::log(0.1f)};
  TokenFilterParams params;
  params.top_p = 0.55f;
  EXPECT_THAT(Tokens(Filter(logits, params)), ElementsAre(0, 1));
  params.top_k = 2;
  EXPECT_THAT(Tokens(Filter(logits, params)), ElementsAre(0));
}

TEST(FilterTokens, MinPMeasuresAgainstTheLikeliestAtThisTemperature) {
  const std::vector<float> logits = {0.0f, -1.0f, -2.0f};
  TokenFilterParams params;
  params.min_p = 0.3f;  // e^-1 = 0.37 passes, e^-2 = 0.14 does not
  EXPECT_THAT(Tokens(Filter(logits, params)), ElementsAre(0, 1));
  params.temperature = 2.0f;  // e^-0.5 = 0.61, e^-1 = 0.37
  EXPECT_THAT(Tokens(Filter(logits, params)), ElementsAre(0, 1, 2));
}

TEST(FilterTokens, AlwaysLeavesTheLikeliest) {
  TokenFilterParams params;
  params.top_p = std::numeric_limits<float>::denorm_min();
  params.min_p = 1.0f;
  params.top_k = 1;
  for (const std::vector<float>& logits :
       {std::vector<float>{-5.0f, 2.0f, 1.0f}, {4.0f, 4.0f, 4.0f}, {7.0f}}) {
    EXPECT_THAT(Filter(logits, params), testing::Not(testing::IsEmpty()));
  }
  params = {};
  params.top_p = std::numeric_limits<float>::denorm_min();
  EXPECT_THAT(Tokens(Filter(std::vector<float>(3001, 0.25f), params)), ElementsAre(0));
}

TEST(FilterTokens, NeverKeepsMaskedTokens) {
  const float masked = -std::numeric_limits<float>::infinity();
  TokenFilterParams params;
  params.top_k = 3;
  EXPECT_THAT(Tokens(Filter({masked, 1.0f, masked, 2.0f}, params)), ElementsAre(1, 3));
}

TEST(FilterTokens, AgreesWithNaiveForEachFilterAlone) {
  std::mt19937 random(1);
  for (float spread : {0.01f, 1.0f, 4.0f, 20.0f}) {
    const std::vector<float> logits = RandomLogits(random, 700, spread);
    for (int top_k : {1, 2, 5, 50, 699, 700, 5000}) {
      TokenFilterParams params;
      params.top_k = top_k;
      ExpectLikeNaive(logits, params);
    }
    for (float value : {0.001f, 0.05f, 0.3f, 0.5f, 0.9f, 0.95f, 0.999f}) {
      TokenFilterParams params;
      params.top_p = value;
      ExpectLikeNaive(logits, params);
      params = {};
      params.min_p = value;
      ExpectLikeNaive(logits, params);
    }
  }
}

TEST(FilterTokens, AgreesWithNaiveForRandomCombinations) {
  std::mt19937 random(2);
  std::uniform_real_distribution<float> uniform(0, 1);
  for (int round = 0; round < 1000; ++round) {
    std::vector<float> logits = RandomLogits(random, 1 + random() % 300, 6 * uniform(random));
    for (float& logit : logits) {
      if (round % 3 == 0) logit = std::round(logit);  // many equal ones
    }
    TokenFilterParams params;
    params.temperature = 0.01f + 2 * uniform(random);
    if (random() % 2) params.top_k = static_cast<int>(random() % 400);
    if (random() % 2) params.top_p = 0.001f + 0.999f * uniform(random);
    if (random() % 2) params.min_p = 0.5f * uniform(random);
    ExpectLikeNaive(logits, params);
    if (HasFatalFailure()) return;
  }
}

TEST(FilterTokens, AgreesWithNaiveOnARealVocabulary) {
  std::mt19937 random(3);
  for (float spread : {0.5f, 3.0f}) {
    const std::vector<float> logits = RandomLogits(random, 49152, spread);
    TokenFilterParams params;
    params.top_p = 0.9f;
    ExpectLikeNaive(logits, params);
    params.top_k = 40;
    ExpectLikeNaive(logits, params);
  }
}

}  // namespace
}  // namespace tandem
