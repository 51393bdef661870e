#include "engine/runner/logit_adjustments.h"

#include <limits>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::Pointwise;

constexpr float kMasked = -std::numeric_limits<float>::infinity();

std::vector<float> Adjust(const SamplingParams& params, const std::vector<TokenId>& prompt,
                          const std::vector<TokenId>& output, std::vector<float> logits) {
  AdjustLogits(params, prompt, output, absl::MakeSpan(logits));
  return logits;
}

TEST(AdjustLogits, LeavesLogitsAsTheyAreByDefault) {
  EXPECT_THAT(Adjust({}, {0, 1}, {2}, {1.0f, -2.0f, 3.0f}), ElementsAre(1.0f, -2.0f, 3.0f));
}

TEST(AdjustLogits, MasksStopTokensUntilMinTokensAreOut) {
  SamplingParams params;
  params.min_tokens = 2;
  params.stop_token_ids = {0, 2};
  EXPECT_THAT(Adjust(params, {1}, {}, {5, 5, 5}), ElementsAre(kMasked, 5, kMasked));
  EXPECT_THAT(Adjust(params, {1}, {1}, {5, 5, 5}), ElementsAre(kMasked, 5, kMasked));
  EXPECT_THAT(Adjust(params, {1}, {1, 1}, {5, 5, 5}), ElementsAre(5, 5, 5));
}

TEST(AdjustLogits, BiasDoesNotUnmaskAStopToken) {
  SamplingParams params;
  params.min_tokens = 1;
  params.stop_token_ids = {0};
  params.logit_bias = {{0, 100.0f}, {1, -3.0f}};
  EXPECT_THAT(Adjust(params, {1}, {}, {5, 5, 5}), ElementsAre(kMasked, 2, 5));
}

TEST(AdjustLogits, RepetitionCountsPromptAndOutputOnce) {
  SamplingParams params;
  params.repetition_penalty = 2.0f;
  EXPECT_THAT(Adjust(params, {0, 0, 1}, {2, 0}, {4, -4, 0, 4}), ElementsAre(2, -8, 0, 4));
}

TEST(AdjustLogits, FrequencyAndPresenceCountOutputOnly) {
  SamplingParams params;
  params.frequency_penalty = 0.5f;
  params.presence_penalty = 0.25f;
  EXPECT_THAT(Adjust(params, {0, 3}, {1, 2, 1}, {1, 1, 1, 1}), ElementsAre(1, -0.25f, 0.25f, 1));
}

TEST(AdjustLogits, RepetitionSeesTheBiasAndComesBeforeTheSubtractions) {
  SamplingParams params;
  params.logit_bias = {{0, -3.0f}};
  params.repetition_penalty = 2.0f;
  params.presence_penalty = 1.0f;
  // 1 - 3 = -2, times 2 = -4, minus 1.
  EXPECT_THAT(Adjust(params, {}, {0}, {1}), ElementsAre(-5));
}

// As vLLM's tensors do it: masks and counts of the whole vocabulary.
std::vector<float> NaiveAdjust(const SamplingParams& params, const std::vector<TokenId>& prompt,
                               const std::vector<TokenId>& output, std::vector<float> logits) {
  std::vector<int> in_prompt(logits.size(), 0);
  std::vector<int> in_output(logits.size(), 0);
  for (TokenId token : prompt) ++in_prompt[token];
  for (TokenId token : output) ++in_output[token];
  for (TokenId token : params.stop_token_ids) {
    if (static_cast<int>(output.size()) < params.min_tokens) logits[token] = kMasked;
  }
  for (const auto& [token, bias] : params.logit_bias) logits[token] += bias;
  for (size_t i = 0; i < logits.size(); ++i) {
    const float penalty = in_prompt[i] || in_output[i] ? params.repetition_penalty : 1.0f;
    logits[i] = logits[i] > 0 ? logits[i] / penalty : logits[i] * penalty;
    logits[i] -= params.frequency_penalty * static_cast<float>(in_output[i]);
    logits[i] -= in_output[i] > 0 ? params.presence_penalty : 0.0f;
  }
  return logits;
}

TEST(AdjustLogits, AgreesWithNaiveForRandomParameters) {
  std::mt19937 random(4);
  std::uniform_real_distribution<float> uniform(-2, 2);
  for (int round = 0; round < 300; ++round) {
    const int vocab_size = 1 + static_cast<int>(random() % 60);
    const auto token = [&] { return static_cast<TokenId>(random() % vocab_size); };
    SamplingParams params;
    params.repetition_penalty = 1.5f + uniform(random) / 2;
    params.frequency_penalty = uniform(random);
    params.presence_penalty = uniform(random);
    params.min_tokens = static_cast<int>(random() % 20);
    params.stop_token_ids = {token(), token()};
    params.logit_bias = {{token(), uniform(random)}, {token(), uniform(random)}};
    std::vector<float> logits(vocab_size);
    for (float& logit : logits) logit = 4 * uniform(random);
    std::vector<TokenId> prompt(random() % 30);
    std::vector<TokenId> output(random() % 30);
    for (TokenId& id : prompt) id = token();
    for (TokenId& id : output) id = token();
    EXPECT_THAT(Adjust(params, prompt, output, logits),
                Pointwise(testing::FloatEq(), NaiveAdjust(params, prompt, output, logits)));
  }
}

}  // namespace
}  // namespace tandem
