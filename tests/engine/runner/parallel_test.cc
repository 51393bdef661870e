// Instances of several ranks, each a process of its own, on the tiny checkpoints.
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <fstream>

#include "engine/runner/model_runner.h"
#include "engine/runner/rank_main.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/engine/model/tiny_model.h"
#include "tests/engine/runner/sequence.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Forks each rank: tests have no threads by then. Appends their process ids.
StartRank ForkRanks(const RunnerOptions& options, std::vector<pid_t>* pids = nullptr) {
  return [options, pids](int rank, int fd) -> absl::StatusOr<pid_t> {
    const pid_t pid = fork();
    if (pid == 0) {
      const absl::Status status = RunRank(options, rank, fd);
      LOG(ERROR) << "rank " << rank << ": " << status;
      _exit(1);
    }
    if (pids != nullptr) pids->push_back(pid);
    return pid;
  };
}

RunnerOptions Options(const std::string& name, int tp, int pp, std::vector<pid_t>* pids = nullptr) {
  RunnerOptions options;
  options.model_path = TinyModelPath(name);
  options.kv_dtype = DType::kF32;
  options.block_size = 8;
  options.max_num_batched_tokens = 96;
  options.ranks = {.tp = tp, .pp = pp};
  options.start_rank = ForkRanks(options, pids);
  return options;
}

std::unique_ptr<ModelRunner> CreateRunner(const RunnerOptions& options) {
  auto runner = ModelRunner::Create(options);
  CHECK_OK(runner.status());
  return std::move(*runner);
}

// Sequences of one golden file, each with blocks of its own out of a shuffled pool.
std::vector<Sequence> MakeSequences(const std::string& name, const SamplingParams& sampling) {
  constexpr int kBlocks = 16;
  const std::vector<BlockId> pool = ShuffledBlocks(4 * kBlocks, 3);
  std::vector<Sequence> sequences;
  for (const GoldenCase& golden : LoadGoldenCases(name)) {
    const auto first = pool.begin() + static_cast<int64_t>(sequences.size()) * kBlocks;
    sequences.emplace_back(RequestId(100 + sequences.size()), golden.prompt, sampling,
                           std::vector<BlockId>(first, first + kBlocks));
  }
  return sequences;
}

SamplingParams Greedy(int num_logprobs = -1) {
  SamplingParams params;
  params.temperature = 0;
  params.num_logprobs = num_logprobs;
  return params;
}

// Tokens with the log-probabilities of the whole vocabulary: equal only if all logits are.
std::vector<std::vector<std::pair<TokenId, float>>> Answers(ModelRunner& runner,
                                                            const std::string& name, int chunk) {
  SamplingParams sampling = Greedy(/*num_logprobs=*/320);
  sampling.num_prompt_logprobs = 3;
  std::vector<Sequence> sequences = MakeSequences(name, sampling);
  Generate(runner, sequences, chunk, 12);
  std::vector<std::vector<std::pair<TokenId, float>>> answers;
  const auto add = [&answers](const SampledToken& token) {
    auto& answer = answers.emplace_back();
    for (const TokenLogprob& top : token.top) answer.emplace_back(top.token, top.logprob);
  };
  for (const Sequence& sequence : sequences) {
    for (const SampledToken& token : sequence.sampled()) add(token);
    for (const PromptLogprob& prompt : sequence.prompt_logprobs()) add(prompt.token);
  }
  return answers;
}

void ExpectGolden(ModelRunner& runner, const std::string& name, int chunk) {
  const std::vector<GoldenCase> golden = LoadGoldenCases(name);
  std::vector<Sequence> sequences = MakeSequences(name, Greedy());
  Generate(runner, sequences, chunk, 24);
  for (size_t i = 0; i < golden.size(); ++i) {
    for (size_t step = 0; step < golden[i].greedy.size(); ++step) {
      if (golden[i].margins[step] < 0.01) break;
      EXPECT_EQ(sequences[i].output()[step], golden[i].greedy[step])
          << "prompt " << i << " step " << step;
    }
  }
}

class ParallelTest : public testing::TestWithParam<std::string> {
 protected:
  // Whichever works for 4 heads; llama_odd has 9.
  std::vector<int> TensorParallelSizes() const {
    return GetParam() == "llama_odd" ? std::vector<int>{3, 9} : std::vector<int>{2, 4};
  }
};

TEST_P(ParallelTest, TensorParallelFollowsTransformersGreedily) {
  for (const int tp : TensorParallelSizes()) {
    SCOPED_TRACE(tp);
    const auto runner = CreateRunner(Options(GetParam(), tp, 1));
    ExpectGolden(*runner, GetParam(), 7);
  }
}

TEST_P(ParallelTest, TensorParallelLogprobsAreThoseOfTransformers) {
  for (const int tp : TensorParallelSizes()) {
    const auto runner = CreateRunner(Options(GetParam(), tp, 1));
    std::vector<Sequence> sequences = MakeSequences(GetParam(), Greedy(/*num_logprobs=*/320));
    Generate(*runner, sequences, 96, 1);
    const std::vector<GoldenCase> golden = LoadGoldenCases(GetParam());
    for (size_t i = 0; i < golden.size(); ++i) {
      double sum = 0;
      for (const float logit : golden[i].last_logits) sum += std::exp(double{logit});
      for (const TokenLogprob& top : sequences[i].sampled()[0].top) {
        EXPECT_NEAR(top.logprob, golden[i].last_logits[top.token] - std::log(sum), 2e-3);
      }
    }
  }
}

TEST_P(ParallelTest, PipelineParallelGivesTheBitsOfOneStage) {
  const auto alone = Answers(*CreateRunner(Options(GetParam(), 1, 1)), GetParam(), 11);
  for (const int pp : {2, GetParam() == "gemma3" ? 3 : 4}) {
    EXPECT_EQ(Answers(*CreateRunner(Options(GetParam(), 1, pp)), GetParam(), 11), alone) << pp;
  }
}

TEST_P(ParallelTest, BothTogetherGiveTheBitsOfTensorParallelAlone) {
  const int tp = TensorParallelSizes()[0];
  const auto runner = CreateRunner(Options(GetParam(), tp, 2));
  ExpectGolden(*runner, GetParam(), 96);
  EXPECT_EQ(Answers(*runner, GetParam(), 96),
            Answers(*CreateRunner(Options(GetParam(), tp, 1)), GetParam(), 5));
}

INSTANTIATE_TEST_SUITE_P(TinyModels, ParallelTest, testing::ValuesIn(TinyModelNames()),
                         [](const auto& info) { return info.param; });

TEST(Parallel, AsManyStepsAsStagesAreUnderWay) {
  const auto alone = CreateRunner(Options("llama", 1, 1));
  std::vector<Sequence> expected = MakeSequences("llama", Greedy());
  Generate(*alone, expected, 96, 8);

  const auto runner = CreateRunner(Options("llama", 1, 2));
  ASSERT_EQ(runner->depth(), 2);
  std::vector<std::pair<uint64_t, int>> told;
  runner->SetLayerDoneCallback([&](uint64_t step, int layer) { told.emplace_back(step, layer); });
  std::vector<Sequence> sequences = MakeSequences("llama", Greedy());
  Batch batches[2];
  const auto submit = [&](int i, uint64_t step) {
    batches[i].step = step;
    batches[i].rows = {sequences[i].NextRow(96)};
    ASSERT_TRUE(runner->Submit(batches[i]).ok());
  };
  submit(0, 10);
  for (uint64_t step = 11; step < 10 + 16; ++step) {
    const int next = static_cast<int>(step % 2), oldest = 1 - next;
    submit(next, step);
    EXPECT_EQ(runner->num_in_flight(), 2);
    const auto output = runner->Wait();
    ASSERT_TRUE(output.ok()) << output.status();
    sequences[oldest].Commit(batches[oldest].rows[0], output->rows[0]);
  }
  ASSERT_TRUE(runner->Wait().ok());
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(sequences[i].output().subspan(0, 7),
                testing::ElementsAreArray(expected[i].output().subspan(0, 7)));
  }
  // Each step's layers in order; those of different steps may mix.
  for (uint64_t step = 10; step < 10 + 16; ++step) {
    std::vector<int> layers;
    for (const auto& [of_step, layer] : told) {
      if (of_step == step) layers.push_back(layer);
    }
    EXPECT_THAT(layers, ElementsAre(0, 1, 2, 3)) << "step " << step;
  }
}

std::vector<uint8_t> StoredBytes(ModelRunner& runner, int layer, absl::Span<const BlockId> table,
                                 int num_tokens) {
  std::vector<uint8_t> bytes;
  for (const KvComponent component : {KvComponent::kKeys, KvComponent::kValues}) {
    for (const absl::Span<const uint8_t> run :
         runner.kv_cache().Read(layer, component, table, 0, num_tokens)) {
      bytes.insert(bytes.end(), run.begin(), run.end());
    }
  }
  return bytes;
}

// The first layer's K and V do not depend on sums over ranks, so they have the same bits.
TEST(Parallel, KvOfAllRanksReadsAsThatOfOne) {
  std::vector<uint8_t> expected[4];
  for (const auto& [tp, pp] :
       {std::pair(1, 1), std::pair(1, 2), std::pair(2, 2), std::pair(4, 1)}) {
    const auto runner = CreateRunner(Options("llama", tp, pp));
    std::vector<Sequence> sequences = MakeSequences("llama", Greedy());
    Batch batch;
    batch.rows = {sequences[2].NextRow(96)};
    int num_layers = 0;
    runner->SetLayerDoneCallback([&](uint64_t, int layer) {
      EXPECT_EQ(layer, num_layers++);
      const std::vector<uint8_t> bytes =
          StoredBytes(*runner, layer, batch.rows[0].block_table, batch.rows[0].num_tokens);
      if (tp * pp == 1) expected[layer] = bytes;
      if (tp == 1 || layer == 0) {
        EXPECT_EQ(bytes, expected[layer]) << "layer " << layer << " tp " << tp << " pp " << pp;
      }
    });
    ASSERT_TRUE(runner->Run(batch).ok());
    EXPECT_EQ(num_layers, 4);
  }
}

// What a decode worker does with what it receives.
TEST(Parallel, KvWrittenFromOutsideReachesEveryRank) {
  const auto source = CreateRunner(Options("gemma3", 1, 1));
  const auto target = CreateRunner(Options("gemma3", 4, 2));  // one K/V head, on four ranks
  const int num_layers = source->config().num_layers;
  std::vector<Sequence> expected = MakeSequences("gemma3", Greedy());
  Generate(*source, expected, 96, 9);
  std::vector<Sequence> sequences = MakeSequences("gemma3", Greedy());
  for (Sequence& sequence : sequences) {
    Batch batch;
    batch.rows = {sequence.NextRow(96)};
    const auto output = source->Run(batch);
    ASSERT_TRUE(output.ok());
    const BatchRow& row = batch.rows[0];
    for (int layer = 0; layer < num_layers; ++layer) {
      for (const KvComponent component : {KvComponent::kKeys, KvComponent::kValues}) {
        std::vector<uint8_t> bytes;
        for (const auto& run :
             source->kv_cache().Read(layer, component, row.block_table, 0, row.num_tokens)) {
          bytes.insert(bytes.end(), run.begin(), run.end());
        }
        auto next = bytes.begin();
        for (const auto& run :
             target->kv_cache().Write(layer, component, row.block_table, 0, row.num_tokens)) {
          std::copy_n(next, run.size(), run.begin());
          next += static_cast<std::ptrdiff_t>(run.size());
        }
        target->kv_cache().CopyToReplicas(layer, component, row.block_table, 0, row.num_tokens);
      }
    }
    sequence.Commit(row, output->rows[0]);
  }
  Generate(*target, sequences, 96, 9);
  for (size_t i = 0; i < sequences.size(); ++i) {
    EXPECT_THAT(sequences[i].output(), testing::ElementsAreArray(expected[i].output()));
  }
}

// Quantised weights are cut at blocks of 32 columns, and 1,536 columns are 48 of them.
TEST(Parallel, DefaultModelOnSixRanksFollowsTransformers) {
  const char* path = std::getenv("TANDEM_TEST_MODEL");
  if (path == nullptr) GTEST_SKIP() << "TANDEM_TEST_MODEL does not name the default model";
  RunnerOptions options = Options("llama", 3, 2);
  options.model_path = path;
  options.max_model_len = 256;
  options.ops.quantize_activations = false;  // the golden numbers are those of float32
  options.start_rank = ForkRanks(options);
  const auto runner = CreateRunner(options);
  const auto goldens = nlohmann::json::parse(
      std::ifstream(TANDEM_SOURCE_DIR "/tests/golden/smollm2-135m-instruct/greedy.json"));
  const std::vector<BlockId> pool = ShuffledBlocks(9 * 16, 9);
  std::vector<Sequence> sequences;
  for (size_t i = 0; i < goldens.size(); ++i) {
    const auto first = pool.begin() + static_cast<int64_t>(16 * i);
    sequences.emplace_back(RequestId(i), goldens[i].at("prompt_ids"), Greedy(),
                           std::vector<BlockId>(first, first + 16));
  }
  Generate(*runner, sequences, 32, 16);
  for (size_t i = 0; i < goldens.size(); ++i) {
    for (size_t step = 0; step < 16 && goldens[i].at("margins")[step] >= 0.01; ++step) {
      EXPECT_EQ(sequences[i].output()[step], goldens[i].at("greedy")[step].get<TokenId>())
          << goldens[i].at("name") << " step " << step;
    }
  }
}

TEST(Parallel, ADeadRankFailsTheStepUnderWayAndEveryOneAfterIt) {
  for (const auto& [tp, pp] : {std::pair(2, 1), std::pair(1, 2)}) {
    std::vector<pid_t> pids;
    const auto runner = CreateRunner(Options("llama", tp, pp, &pids));
    std::vector<Sequence> sequences = MakeSequences("llama", Greedy());
    Batch batch;
    batch.rows = {sequences[0].NextRow(96)};
    ASSERT_TRUE(runner->Run(batch).ok());
    EXPECT_TRUE(runner->CheckRanks().ok());
    kill(pids[0], SIGKILL);
    for (int i = 0; i < 3; ++i) {
      const absl::Status status = runner->Run(batch).status();
      EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
      EXPECT_THAT(status.message(), HasSubstr("rank 1"));
      EXPECT_THAT(status.message(), HasSubstr("signal 9"));
    }
    EXPECT_EQ(runner->CheckRanks().code(), absl::StatusCode::kUnavailable);
  }
}

TEST(Parallel, ARankThatCannotLoadIsNamed) {
  RunnerOptions options = Options("llama", 1, 2);
  options.start_rank = [](int rank, int fd) -> absl::StatusOr<pid_t> {
    const pid_t pid = fork();
    if (pid == 0) _exit(7);
    return pid;
  };
  const absl::Status status = ModelRunner::Create(options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(status.message(), HasSubstr("rank 1"));
  EXPECT_THAT(status.message(), HasSubstr("exited with status 7"));
}

TEST(Parallel, SizesThatDivideNeitherHeadsNorLayersAreRefusedWithThoseThatDo) {
  const auto message = [](const std::string& name, int tp, int pp) {
    const absl::Status status = ModelRunner::Create(Options(name, tp, pp)).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    return std::string(status.message());
  };
  EXPECT_EQ(message("llama", 3, 1),
            "tensor-parallel-size 3 does not divide the model's 4 attention heads; these do: "
            "1, 2, 4");
  EXPECT_EQ(message("llama", 1, 3),
            "pipeline-parallel-size 3 does not divide the model's 4 layers; these do: 1, 2, 4");
  EXPECT_THAT(message("llama_odd", 2, 1), HasSubstr("these do: 1, 3, 9"));
  EXPECT_THAT(message("llama", 0, 1), HasSubstr("tensor-parallel-size 0"));
}

TEST(Parallel, CopiesOfHeadsCountAgainstTheMemoryForKv) {
  // 4 layers of 2 heads of 16, K and V, float32: 1,024 bytes a token; twice that on 4 ranks.
  RunnerOptions options = Options("llama", 4, 1);
  options.kv_cache_bytes = int64_t{1024} * 8 * 20;
  EXPECT_EQ(CreateRunner(options)->kv_cache().num_blocks(), 10);
  options.ranks = {.tp = 2, .pp = 1};
  EXPECT_EQ(CreateRunner(options)->kv_cache().num_blocks(), 20);
}

// Half way its blocks are swapped out, written over by another sequence, and it goes on in others.
TEST(Parallel, ASwappedSequenceGoesOnWithTheSameLogits) {
  for (const std::string name : {"llama", "gemma3"}) {
    for (const auto& [tp, pp] : {std::pair(1, 1), std::pair(1, 2), std::pair(4, 2)}) {
      RunnerOptions options = Options(name, tp, pp);
      options.swap_bytes = 64 << 20;
      const auto runner = CreateRunner(options);
      ASSERT_GE(runner->num_host_blocks(), 16);
      std::vector<Sequence> whole = MakeSequences(name, Greedy(/*num_logprobs=*/320));
      Generate(*runner, whole, 96, 12);
      std::vector<Sequence> sequences = MakeSequences(name, Greedy(/*num_logprobs=*/320));
      std::vector<Sequence> swapped = {sequences[2]}, other = {sequences[0]};
      Generate(*runner, swapped, 96, 5);
      const std::vector<BlockId> from = swapped[0].blocks(), to = other[0].blocks();
      Batch batch;
      for (BlockId i = 0; i < 16; ++i)
        batch.copies.push_back({CopyDirection::kOut, from[i], 15 - i});
      runner->Copy(batch.copies);
      other[0].MoveTo(from);
      Generate(*runner, other, 96, 9);
      batch.copies.clear();
      for (BlockId i = 0; i < 16; ++i) batch.copies.push_back({CopyDirection::kIn, to[i], 15 - i});
      runner->Copy(batch.copies);
      swapped[0].MoveTo(to);
      Generate(*runner, swapped, 96, 12);
      for (size_t i = 0; i < 12; ++i) {
        const auto& expected = whole[2].sampled()[i].top;
        const auto& got = swapped[0].sampled()[i].top;
        ASSERT_EQ(got.size(), expected.size());
        for (size_t j = 0; j < got.size(); ++j) {
          ASSERT_EQ(got[j].token, expected[j].token);
          ASSERT_EQ(got[j].logprob, expected[j].logprob) << name << " tp " << tp << " pp " << pp;
        }
      }
    }
  }
}

}  // namespace
}  // namespace tandem
