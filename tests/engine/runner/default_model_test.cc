// The default model against transformers, on its real weights. ./test fetches the file and names it
// in TANDEM_TEST_MODEL.
#include <cstdlib>
#include <fstream>

#include "engine/runner/model_runner.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/engine/model/tiny_model.h"
#include "tests/engine/runner/sequence.h"

namespace tandem {
namespace {

using Json = nlohmann::json;

Json Golden(const std::string& file) {
  return Json::parse(
      std::ifstream(TANDEM_SOURCE_DIR "/tests/golden/smollm2-135m-instruct/" + file));
}

class DefaultModelTest : public testing::Test {
 protected:
  static constexpr int kBlocksPerSequence = 16;  // of 16 tokens: prompts of up to 69, and 64 more

  void SetUp() override {
    const char* path = std::getenv("TANDEM_TEST_MODEL");
    if (path == nullptr) GTEST_SKIP() << "TANDEM_TEST_MODEL does not name the default model";
    RunnerOptions options;
    options.model_path = path;
    options.kv_dtype = DType::kF32;
    options.max_model_len = 256;
    options.ops.quantize_activations = false;  // the golden numbers are those of float32
    auto runner = ModelRunner::Create(options);
    ASSERT_TRUE(runner.ok()) << runner.status();
    runner_ = std::move(*runner);
    pool_ = ShuffledBlocks(16 * kBlocksPerSequence, 9);
  }

  Sequence MakeSequence(int index, std::vector<TokenId> prompt, const SamplingParams& sampling) {
    const auto first = pool_.begin() + index * kBlocksPerSequence;
    return Sequence(RequestId(index), std::move(prompt), sampling,
                    {first, first + kBlocksPerSequence});
  }

  std::unique_ptr<ModelRunner> runner_;
  std::vector<BlockId> pool_;
};

// Scores the golden continuation as if it were prompt, so that every step is compared, also those
// after a step that is too close to call.
TEST_F(DefaultModelTest, TransformersGreedyTokenIsTheBestAtEveryStep) {
  SamplingParams sampling;
  sampling.temperature = 0;
  sampling.num_prompt_logprobs = 1;
  int compared = 0;
  for (const Json& golden : Golden("greedy.json")) {
    std::vector<TokenId> tokens = golden.at("prompt_ids");
    const size_t num_prompt = tokens.size();
    for (TokenId token : golden.at("greedy")) tokens.push_back(token);
    std::vector<Sequence> sequences = {MakeSequence(0, tokens, sampling)};
    Generate(*runner_, sequences, 512, 1);
    const std::vector<PromptLogprob>& scores = sequences[0].prompt_logprobs();
    for (size_t step = 0; step < golden.at("greedy").size(); ++step) {
      if (golden.at("margins")[step] < 0.01) continue;
      const SampledToken& score = scores[num_prompt + step - 1].token;
      EXPECT_EQ(score.top[0].token, golden.at("greedy")[step].get<TokenId>())
          << golden.at("name") << " step " << step << " margin " << golden.at("margins")[step];
      ++compared;
    }
  }
  EXPECT_GT(compared, 560) << "of 9 x 64";
}

TEST_F(DefaultModelTest, DecodesTransformersGreedyTokensInOneBatch) {
  SamplingParams sampling;
  sampling.temperature = 0;
  const Json goldens = Golden("greedy.json");
  std::vector<Sequence> sequences;
  for (const Json& golden : goldens) {
    sequences.push_back(
        MakeSequence(static_cast<int>(sequences.size()), golden.at("prompt_ids"), sampling));
  }
  Generate(*runner_, sequences, 32, 24);
  for (size_t i = 0; i < goldens.size(); ++i) {
    for (size_t step = 0; step < 24 && goldens[i].at("margins")[step] >= 0.01; ++step) {
      EXPECT_EQ(sequences[i].output()[step], goldens[i].at("greedy")[step].get<TokenId>())
          << goldens[i].at("name") << " step " << step;
    }
  }
}

TEST_F(DefaultModelTest, LogprobsAfterAPromptAreThoseOfTransformers) {
  SamplingParams sampling;
  sampling.temperature = 0;
  sampling.num_logprobs = runner_->config().vocab_size;
  for (const Json& golden : Golden("prompt_logprobs.json")) {
    std::vector<Sequence> sequences = {MakeSequence(0, golden.at("prompt_ids"), sampling)};
    Generate(*runner_, sequences, 512, 1);
    std::vector<float> logprobs(runner_->config().vocab_size);
    for (const TokenLogprob& token : sequences[0].sampled()[0].top) {
      logprobs[token.token] = token.logprob;
    }
    for (const char* part : {"top", "sample"}) {
      for (const Json& pair : golden.at(part)) {
        EXPECT_NEAR(logprobs[pair[0].get<int>()], pair[1].get<float>(), 2e-3)
            << golden.at("name") << " token " << pair[0];
      }
    }
  }
}

}  // namespace
}  // namespace tandem
