// A quantised file computes nearly what its original computes.
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "engine/weights/quantize_gguf.h"
#include "gtest/gtest.h"
#include "tests/engine/model/tiny_model.h"
#include "tests/engine/runner/sequence.h"
#include "tests/testing/temp_folder.h"
#include "tests/testing/tiny_gguf.h"

namespace tandem {
namespace {

// The tiny model with weights drawn at random.
GgufWriter RandomModel() {
  GgufWriter writer;
  AddTinyMetadata({}, &writer);
  std::mt19937 random(11);
  std::normal_distribution<float> normal(0, 0.15f);
  for (const GgufWriter::Tensor& tensor : TinyGguf().tensors) {
    const bool is_norm = tensor.dims.size() == 1;
    std::vector<float> values(is_norm ? tensor.dims[0] : tensor.dims[0] * tensor.dims[1]);
    for (float& value : values) value = is_norm ? 1.0f : normal(random);
    writer.AddFloats(tensor.name, tensor.dims, values);
  }
  return writer;
}

class QuantizedModelTest : public testing::Test {
 protected:
  std::string Quantize(DType dtype) {
    const std::string output = folder_.path() + "/quantized.gguf";
    CHECK_OK(QuantizeGguf({.input = original_, .output = output, .dtype = dtype, .replace = true},
                          [](int, int) {})
                 .status());
    return output;
  }

  // Log-probabilities of a fixed sequence's tokens.
  static std::vector<double> Score(const std::string& path) {
    RunnerOptions options;
    options.model_path = path;
    options.kv_dtype = DType::kF32;
    options.ops.quantize_activations = false;  // the weights alone
    const auto runner = ModelRunner::Create(options);
    CHECK_OK(runner.status());
    std::vector<TokenId> tokens;
    for (int i = 0; i < 60; ++i) tokens.push_back(i * 7 % 48);
    SamplingParams sampling;
    sampling.temperature = 0;
    sampling.num_prompt_logprobs = 0;
    std::vector<Sequence> sequences;
    sequences.emplace_back(RequestId(1), tokens, sampling, ShuffledBlocks(8, 5));
    Generate(**runner, sequences, 64, 1);
    std::vector<double> scores;
    for (const PromptLogprob& score : sequences[0].prompt_logprobs()) {
      scores.push_back(score.token.logprob);
    }
    return scores;
  }

  // Root mean square of the differences from the original.
  double Distance(DType dtype) {
    const std::vector<double> expected = Score(original_);
    const std::vector<double> actual = Score(Quantize(dtype));
    CHECK(expected.size() == actual.size() && !expected.empty());
    double sum = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
      sum += (actual[i] - expected[i]) * (actual[i] - expected[i]);
    }
    return std::sqrt(sum / static_cast<double>(expected.size()));
  }

  const TempFolder folder_;
  const std::string original_ = folder_.Write("original.gguf", RandomModel().Build());
};

TEST_F(QuantizedModelTest, ScoresAsTheOriginalInEightBits) {
  EXPECT_LT(Distance(DType::kQ8_0), 0.02);
}

TEST_F(QuantizedModelTest, ScoresNearTheOriginalInFourBits) {
  const double distance = Distance(DType::kQ4_0);
  EXPECT_LT(distance, 0.25);
  EXPECT_GT(distance, Distance(DType::kQ8_0));
}

}  // namespace
}  // namespace tandem
