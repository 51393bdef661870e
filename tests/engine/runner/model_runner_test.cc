#include "engine/runner/model_runner.h"

#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/model/tiny_model.h"
#include "tests/engine/runner/sequence.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

RunnerOptions Options(const std::string& name) {
  RunnerOptions options;
  options.model_path = TinyModelPath(name);
  options.kv_dtype = DType::kF32;
  options.block_size = 8;
  options.max_num_batched_tokens = 96;
  return options;
}

std::unique_ptr<ModelRunner> CreateRunner(const RunnerOptions& options) {
  auto runner = ModelRunner::Create(options);
  CHECK_OK(runner.status());
  return std::move(*runner);
}

SamplingParams Greedy() {
  SamplingParams params;
  params.temperature = 0;
  return params;
}

// Sequences of one golden file, each with blocks of its own out of a shuffled pool.
std::vector<Sequence> MakeSequences(const std::string& name, const SamplingParams& sampling,
                                    int block_size) {
  const int num_blocks = 128 / block_size;
  const std::vector<BlockId> pool = ShuffledBlocks(4 * num_blocks, 3);
  std::vector<Sequence> sequences;
  for (const GoldenCase& golden : LoadGoldenCases(name)) {
    const size_t first = sequences.size() * num_blocks;
    sequences.emplace_back(
        RequestId(100 + sequences.size()), golden.prompt, sampling,
        std::vector<BlockId>(pool.begin() + first, pool.begin() + first + num_blocks));
  }
  return sequences;
}

class ModelRunnerTest : public testing::TestWithParam<std::string> {};

TEST_P(ModelRunnerTest, FollowsTransformersGreedily) {
  const auto runner = CreateRunner(Options(GetParam()));
  const std::vector<GoldenCase> golden = LoadGoldenCases(GetParam());
  std::vector<Sequence> sequences = MakeSequences(GetParam(), Greedy(), 8);
  Generate(*runner, sequences, 7, 24);
  for (size_t i = 0; i < golden.size(); ++i) {
    for (size_t step = 0; step < golden[i].greedy.size(); ++step) {
      if (golden[i].margins[step] < 0.01) break;
      EXPECT_EQ(sequences[i].output()[step], golden[i].greedy[step])
          << "prompt " << i << " step " << step;
    }
  }
}

TEST_P(ModelRunnerTest, DrawsTheSameAloneAndTogether) {
  RunnerOptions options = Options(GetParam());
  options.kv_dtype = DType::kF16;
  const auto runner = CreateRunner(options);
  SamplingParams sampling;
  sampling.seed = 1234;
  sampling.top_p = 0.95f;
  sampling.frequency_penalty = 0.3f;
  std::vector<Sequence> together = MakeSequences(GetParam(), sampling, 8);
  Generate(*runner, together, 96, 24);
  std::vector<Sequence> alone = MakeSequences(GetParam(), sampling, 8);
  for (size_t i = 0; i < alone.size(); ++i) {
    std::vector<Sequence> one = {alone[i]};
    Generate(*runner, one, 5, 24);
    EXPECT_THAT(one[0].output(), testing::ElementsAreArray(together[i].output())) << "prompt " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(TinyModels, ModelRunnerTest, testing::ValuesIn(TinyModelNames()),
                         [](const auto& info) { return info.param; });

TEST(ModelRunner, ScoresEveryPromptTokenButTheFirstOnce) {
  const auto runner = CreateRunner(Options("qwen3"));
  SamplingParams sampling = Greedy();
  sampling.num_prompt_logprobs = 2;
  std::vector<Sequence> whole = MakeSequences("qwen3", sampling, 8);
  Generate(*runner, whole, 96, 2);
  std::vector<Sequence> cut = MakeSequences("qwen3", sampling, 8);
  Generate(*runner, cut, 11, 2);
  for (size_t i = 0; i < whole.size(); ++i) {
    const std::vector<PromptLogprob>& scores = whole[i].prompt_logprobs();
    ASSERT_EQ(scores.size(), whole[i].num_prompt_tokens() - 1);
    ASSERT_EQ(cut[i].prompt_logprobs().size(), scores.size());
    for (size_t k = 0; k < scores.size(); ++k) {
      EXPECT_EQ(scores[k].position, static_cast<int>(k + 1));
      EXPECT_EQ(scores[k].token.token, whole[i].tokens()[k + 1]);
      EXPECT_LT(scores[k].token.logprob, 0);
      ASSERT_EQ(scores[k].token.top.size(), 2u);
      EXPECT_GE(scores[k].token.top[0].logprob, scores[k].token.top[1].logprob);
      EXPECT_EQ(scores[k].token.logprob, cut[i].prompt_logprobs()[k].token.logprob);
    }
  }
}

TEST(ModelRunner, LogprobsAreThoseOfTransformers) {
  const auto runner = CreateRunner(Options("gemma3"));
  const GoldenCase golden = LoadGoldenCases("gemma3")[1];
  SamplingParams sampling = Greedy();
  sampling.num_logprobs = 320;
  std::vector<Sequence> sequences = MakeSequences("gemma3", sampling, 8);
  Generate(*runner, sequences, 96, 1);
  double sum = 0;
  for (float logit : golden.last_logits) sum += std::exp(double{logit});
  const SampledToken& first = sequences[1].sampled()[0];
  ASSERT_EQ(first.top.size(), 320u);
  for (const TokenLogprob& alternative : first.top) {
    EXPECT_NEAR(alternative.logprob, golden.last_logits[alternative.token] - std::log(sum), 2e-3);
  }
  EXPECT_EQ(first.logprob, first.top[0].logprob);
}

TEST(ModelRunner, MalformedRowFailsAlone) {
  const auto runner = CreateRunner(Options("llama"));
  std::vector<Sequence> expected = MakeSequences("llama", Greedy(), 8);
  Generate(*runner, expected, 96, 1);

  std::vector<Sequence> sequences = MakeSequences("llama", Greedy(), 8);
  const std::vector<TokenId> outside = {5, 320};
  Batch batch;
  batch.rows = {sequences[0].NextRow(96), sequences[1].NextRow(96)};
  BatchRow bad = batch.rows[0];
  bad.request = RequestId(666);
  bad.tokens = outside;
  bad.num_tokens = bad.num_prompt_tokens = 2;
  batch.rows.insert(batch.rows.begin() + 1, bad);
  const auto output = runner->Run(batch);
  ASSERT_TRUE(output.ok()) << output.status();
  ASSERT_EQ(output->rows.size(), 3u);
  EXPECT_EQ(output->rows[1].request, RequestId(666));
  EXPECT_EQ(output->rows[1].status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(output->rows[1].status.message(), HasSubstr("request_id=666"));
  EXPECT_THAT(output->rows[1].tokens, IsEmpty());
  EXPECT_EQ(output->rows[0].tokens[0].token, expected[0].output()[0]);
  EXPECT_EQ(output->rows[2].tokens[0].token, expected[1].output()[0]);
}

// A copy of the "llama" checkpoint in which the embedding of `token` is not a number.
std::string CopyWithNanEmbedding(TokenId token) {
  const std::filesystem::path folder =
      std::filesystem::path(testing::TempDir()) / ("nan_embedding_" + std::to_string(getpid()));
  std::filesystem::create_directories(folder);
  for (const char* file : {"config.json", "model.safetensors"}) {
    std::filesystem::copy_file(std::filesystem::path(TinyModelPath("llama")) / file, folder / file,
                               std::filesystem::copy_options::overwrite_existing);
  }
  std::fstream file(folder / "model.safetensors", std::ios::in | std::ios::out | std::ios::binary);
  uint64_t header_size = 0;
  file.read(reinterpret_cast<char*>(&header_size), sizeof(header_size));
  std::string header(header_size, '\0');
  file.read(header.data(), static_cast<std::streamsize>(header_size));
  const nlohmann::json tensor = nlohmann::json::parse(header).at("model.embed_tokens.weight");
  const uint64_t offset = tensor.at("data_offsets")[0];
  const uint64_t row_bytes = tensor.at("shape")[1].get<uint64_t>() * sizeof(float);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  file.seekp(static_cast<std::streamoff>(8 + header_size + offset + token * row_bytes));
  file.write(reinterpret_cast<const char*>(&nan), sizeof(nan));
  return folder.string();
}

TEST(ModelRunner, NumbersThatAreNotFiniteFailTheirRequestAlone) {
  RunnerOptions options = Options("llama");
  options.model_path = CopyWithNanEmbedding(77);
  const auto runner = CreateRunner(options);
  std::vector<Sequence> sequences = MakeSequences("llama", Greedy(), 8);
  std::vector<Sequence> expected = {sequences[1]};
  Generate(*CreateRunner(Options("llama")), expected, 96, 1);

  const std::vector<TokenId> poisoned = {5, 77, 6};
  Batch batch;
  batch.rows = {sequences[0].NextRow(96), sequences[1].NextRow(96)};
  batch.rows[0].tokens = poisoned;
  batch.rows[0].num_tokens = batch.rows[0].num_prompt_tokens = 3;
  const auto output = runner->Run(batch);
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_EQ(output->rows[0].status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(output->rows[0].status.message(), HasSubstr("request_id=100"));
  EXPECT_THAT(output->rows[0].tokens, IsEmpty());
  ASSERT_TRUE(output->rows[1].status.ok()) << output->rows[1].status;
  EXPECT_EQ(output->rows[1].tokens[0].token, expected[0].output()[0]);
  std::filesystem::remove_all(options.model_path);
}

TEST(ModelRunner, TellsStepAndLayerInOrder) {
  const auto runner = CreateRunner(Options("llama"));
  std::vector<std::pair<uint64_t, int>> told;
  runner->SetLayerDoneCallback([&](uint64_t step, int layer) { told.emplace_back(step, layer); });
  std::vector<Sequence> sequences = MakeSequences("llama", Greedy(), 8);
  Batch batch;
  batch.step = 41;
  batch.rows = {sequences[0].NextRow(96)};
  ASSERT_TRUE(runner->Run(batch).ok());
  EXPECT_THAT(told, ElementsAre(std::make_pair(41u, 0), std::make_pair(41u, 1),
                                std::make_pair(41u, 2), std::make_pair(41u, 3)));
}

TEST(ModelRunner, AnswersAnEmptyBatch) {
  const auto output = CreateRunner(Options("llama"))->Run({});
  ASSERT_TRUE(output.ok());
  EXPECT_THAT(output->rows, IsEmpty());
}

TEST(ModelRunner, RefusesAStepAboveItsTokenLimit) {
  RunnerOptions options = Options("llama");
  options.max_num_batched_tokens = 20;
  const auto runner = CreateRunner(options);
  std::vector<Sequence> sequences = MakeSequences("llama", Greedy(), 8);
  Batch batch;
  batch.rows = {sequences[0].NextRow(5), sequences[1].NextRow(16)};
  // A malformed row must not make room for others.
  batch.rows.push_back(batch.rows[0]);
  batch.rows[2].num_tokens = -100;
  EXPECT_EQ(runner->Run(batch).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(ModelRunner, DescribesItsModelAndPool) {
  RunnerOptions options = Options("llama");
  options.max_model_len = 100;
  // 4 layers of 2 heads of 16, K and V, float32: 1,024 bytes a token.
  options.kv_cache_bytes = 1024 * 8 * 13 + 17;
  const auto runner = CreateRunner(options);
  EXPECT_EQ(runner->config().vocab_size, 320);
  EXPECT_EQ(runner->max_model_len(), 100);
  EXPECT_EQ(runner->kv_cache().num_blocks(), 13);
  EXPECT_EQ(runner->content_hash(), CreateRunner(Options("llama"))->content_hash());
  EXPECT_NE(runner->content_hash(), CreateRunner(Options("qwen2"))->content_hash());
}

TEST(ModelRunner, RefusesOptionsOutOfRangeByName) {
  const auto message = [](const RunnerOptions& options) {
    const absl::Status status = ModelRunner::Create(options).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    return std::string(status.message());
  };
  RunnerOptions options = Options("llama");
  options.block_size = 0;
  EXPECT_THAT(message(options), HasSubstr("block_size"));
  options = Options("llama");
  options.kv_cache_bytes = -1;
  EXPECT_THAT(message(options), HasSubstr("kv_cache_bytes"));
  options = Options("llama");
  options.max_num_batched_tokens = 0;
  EXPECT_THAT(message(options), HasSubstr("max_num_batched_tokens"));
  options = Options("llama");
  options.max_model_len = -5;
  EXPECT_THAT(message(options), HasSubstr("max_model_len"));
  options.max_model_len = 257;
  EXPECT_THAT(message(options), HasSubstr("context of 256 tokens"));
  options = Options("llama");
  options.kv_dtype = DType::kQ8_0;
  EXPECT_THAT(message(options), HasSubstr("Q8_0"));
  options = Options("llama");
  options.max_model_len = 100;
  options.kv_cache_bytes = 1024 * 8 * 12;
  EXPECT_THAT(message(options), HasSubstr("at least 106496"));
}

TEST(ModelRunner, NamesAModelThatIsNotThere) {
  RunnerOptions options = Options("llama");
  options.model_path = "/no/such/model.gguf";
  const absl::Status status = ModelRunner::Create(options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(status.message(), HasSubstr("/no/such/model.gguf"));
}

}  // namespace
}  // namespace tandem
