#include "engine/runner/perplexity.h"

#include <cmath>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/model/tiny_model.h"
#include "tests/engine/runner/sequence.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class PerplexityTest : public testing::Test {
 protected:
  void SetUp() override { runner_ = CreateRunner(96); }

  static std::unique_ptr<ModelRunner> CreateRunner(int max_num_batched_tokens) {
    RunnerOptions options;
    options.model_path = TinyModelPath("llama");
    options.kv_dtype = DType::kF32;
    options.max_num_batched_tokens = max_num_batched_tokens;
    auto runner = ModelRunner::Create(options);
    CHECK_OK(runner.status());
    return std::move(*runner);
  }

  absl::StatusOr<Perplexity> Measure(ModelRunner& runner, absl::Span<const TokenId> tokens,
                                     int window) {
    done_.clear();
    return MeasurePerplexity(runner, tokens, window, [&](int done, int) { done_.push_back(done); });
  }

  // The negative log-likelihoods of tokens 1.. of a sequence, by another way through the runner.
  std::vector<double> Score(absl::Span<const TokenId> tokens) {
    SamplingParams sampling;
    sampling.num_prompt_logprobs = 0;
    std::vector<Sequence> sequences;
    sequences.emplace_back(RequestId(1), std::vector<TokenId>(tokens.begin(), tokens.end()),
                           sampling, ShuffledBlocks(8, 5));
    Generate(*runner_, sequences, 7, 1);
    std::vector<double> scores;
    for (const PromptLogprob& score : sequences[0].prompt_logprobs()) {
      scores.push_back(-score.token.logprob);
    }
    return scores;
  }

  std::vector<TokenId> tokens_ = LoadGoldenCases("llama")[2].prompt;  // 70 of them
  std::unique_ptr<ModelRunner> runner_;
  std::vector<int> done_;
};

TEST_F(PerplexityTest, ScoresEveryWindowAloneAndLeavesTheRestOut) {
  const auto result = Measure(*runner_, tokens_, 20);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->num_tokens, 3 * 19);
  EXPECT_EQ(result->num_late_tokens, 3 * 9);
  EXPECT_THAT(done_, ElementsAre(1, 2, 3));
  double total = 0, late = 0;
  for (int window = 0; window < 3; ++window) {
    const std::vector<double> scores = Score(absl::MakeSpan(tokens_).subspan(window * 20, 20));
    for (int i = 0; i < 19; ++i) {
      total += scores[i];
      if (i >= 10) late += scores[i];
    }
  }
  EXPECT_DOUBLE_EQ(result->total_nll, total);
  EXPECT_DOUBLE_EQ(result->late_nll, late);
  EXPECT_DOUBLE_EQ(result->Value(), std::exp(total / 57));
  EXPECT_DOUBLE_EQ(result->LateValue(), std::exp(late / 27));
}

TEST_F(PerplexityTest, DoesNotDependOnHowManyTokensAStepTakes) {
  const auto whole = Measure(*runner_, tokens_, 64);
  const auto chunked = Measure(*CreateRunner(5), tokens_, 64);
  ASSERT_TRUE(whole.ok() && chunked.ok());
  EXPECT_EQ(whole->total_nll, chunked->total_nll);
}

TEST_F(PerplexityTest, TakesAShortTextAsOneWindow) {
  const auto result = Measure(*runner_, absl::MakeSpan(tokens_).subspan(0, 11), 64);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->num_tokens, 10);
}

TEST_F(PerplexityTest, RefusesWhatCannotBeScored) {
  EXPECT_THAT(Measure(*runner_, absl::MakeSpan(tokens_).subspan(0, 1), 64).status().ToString(),
              HasSubstr("1 tokens has nothing to score"));
  EXPECT_THAT(Measure(*runner_, tokens_, 1).status().ToString(), HasSubstr("window of 1"));
  EXPECT_THAT(Measure(*runner_, tokens_, 1 << 20).status().ToString(), HasSubstr("window of"));
}

}  // namespace
}  // namespace tandem
