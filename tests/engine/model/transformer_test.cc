#include "engine/model/transformer.h"

#include <cmath>
#include <tuple>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/model/tiny_model.h"

namespace tandem {
namespace {

using Logits = std::vector<std::vector<float>>;

TokenId ArgMax(const std::vector<float>& logits) {
  return static_cast<TokenId>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

// Each architecture on each instruction set that this machine has.
class TransformerTest : public testing::TestWithParam<std::tuple<std::string, Isa>> {
 protected:
  void SetUp() override {
    OpsOptions options;
    options.isa = std::get<1>(GetParam());
    auto ops = Ops::Create(options);
    if (ops.status().code() == absl::StatusCode::kFailedPrecondition) {
      GTEST_SKIP() << ops.status().message();
    }
    ASSERT_TRUE(ops.ok()) << ops.status();
    ops_ = std::move(*ops);
    cases_ = LoadGoldenCases(name());
    ASSERT_EQ(cases_.size(), 3u);
  }

  const std::string& name() const { return std::get<0>(GetParam()); }

  // The logits after the prompt, and the best token after it and after each greedy one.
  void ExpectGolden(DType kv_dtype, float tolerance, float margin) {
    TinyModel model(name(), kv_dtype, *ops_);
    for (const GoldenCase& golden : cases_) {
      const Logits logits = model.Run(golden.Sequence(), TinyModel::kMaxLen);
      const size_t last = golden.prompt.size() - 1;
      ASSERT_EQ(logits[last].size(), golden.last_logits.size());
      for (size_t i = 0; i < golden.last_logits.size(); ++i) {
        ASSERT_NEAR(logits[last][i], golden.last_logits[i], tolerance) << "token " << i;
      }
      for (size_t i = 0; i < golden.greedy.size(); ++i) {
        if (golden.margins[i] < margin) continue;
        EXPECT_EQ(ArgMax(logits[last + i]), golden.greedy[i]) << "step " << i;
      }
    }
  }

  std::unique_ptr<Ops> ops_;
  std::vector<GoldenCase> cases_;
};

TEST_P(TransformerTest, AgreesWithTransformers) { ExpectGolden(DType::kF32, 2e-3f, 0.01f); }

TEST_P(TransformerTest, AgreesWithTransformersWith16BitKv) {
  ExpectGolden(DType::kF16, 0.02f, 0.05f);
  ExpectGolden(DType::kBF16, 0.15f, 0.5f);
}

TEST_P(TransformerTest, GivesTheSameBitsWhereverThePromptIsCut) {
  for (DType kv_dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    TinyModel model(name(), kv_dtype, *ops_);
    const std::vector<TokenId> tokens = cases_.back().Sequence();
    const Logits whole = model.Run(tokens, TinyModel::kMaxLen);
    for (int chunk : {1, 3, 16, 17}) {
      EXPECT_EQ(model.Run(tokens, chunk), whole) << "chunk " << chunk;
    }
  }
}

TEST_P(TransformerTest, GivesTheSameBitsWhoeverSharesTheStep) {
  TinyModel model(name(), DType::kF16, *ops_);
  std::vector<std::vector<TokenId>> sequences;
  Logits alone[3];
  for (int i = 0; i < 3; ++i) {
    sequences.push_back(cases_[i].Sequence());
    alone[i] = model.Run(sequences[i], TinyModel::kMaxLen);
  }
  // Each sequence in chunks of its own size, so that prefill chunks and single rows share steps.
  const int chunks[3] = {1, 5, 23};
  int done[3] = {0, 0, 0};
  for (bool more = true; more;) {
    StepInput input;
    std::vector<std::pair<int, int>> expected;  // sequence, position
    for (int i : {2, 0, 1}) {
      const int end = std::min<int>(done[i] + chunks[i], sequences[i].size());
      if (end == done[i]) continue;
      model.Append(i, sequences[i], done[i], end, input);
      for (; done[i] < end; ++done[i]) expected.emplace_back(i, done[i]);
    }
    more = !expected.empty();
    if (!more) break;
    const Logits together = model.Step(input);
    for (size_t row = 0; row < expected.size(); ++row) {
      const auto [sequence, position] = expected[row];
      ASSERT_EQ(together[row], alone[sequence][position])
          << "sequence " << sequence << " position " << position;
    }
  }
}

TEST_P(TransformerTest, GivesTheSameBitsForEveryNumberOfThreads) {
  OpsOptions options;
  options.isa = std::get<1>(GetParam());
  options.num_threads = 3;
  auto threaded = Ops::Create(options);
  ASSERT_TRUE(threaded.ok()) << threaded.status();
  const std::vector<TokenId> tokens = cases_.back().Sequence();
  EXPECT_EQ(TinyModel(name(), DType::kF16, **threaded).Run(tokens, 40),
            TinyModel(name(), DType::kF16, *ops_).Run(tokens, 40));
}

INSTANTIATE_TEST_SUITE_P(TinyModels, TransformerTest,
                         testing::Combine(testing::ValuesIn(TinyModelNames()),
                                          testing::ValuesIn(kIsas)),
                         [](const auto& info) {
                           return std::get<0>(info.param) + "_" +
                                  std::string(IsaName(std::get<1>(info.param)));
                         });

class ForwardTest : public testing::Test {
 protected:
  ForwardTest() {
    auto ops = Ops::Create({});
    CHECK_OK(ops.status());
    ops_ = std::move(*ops);
  }

  std::unique_ptr<Ops> ops_;
};

TEST_F(ForwardTest, ComputesLogitsOfWantedRowsOnly) {
  TinyModel model("llama", DType::kF32, *ops_);
  const std::vector<TokenId> tokens = LoadGoldenCases("llama").back().Sequence();
  const Logits all = model.Run(tokens, TinyModel::kMaxLen);
  StepInput input;
  model.Append(0, tokens, 0, static_cast<int>(tokens.size()), input);
  input.logit_rows = {0, 41, 93};
  EXPECT_THAT(model.Step(input), testing::ElementsAre(all[0], all[41], all[93]));
  input.logit_rows.clear();
  EXPECT_THAT(model.Step(input), testing::IsEmpty());
}

// What a layer has stored when it says so, as bytes.
std::vector<uint8_t> StoredBytes(TinyModel& model, int layer, int num_tokens) {
  std::vector<uint8_t> bytes;
  for (KvComponent component : {KvComponent::kKeys, KvComponent::kValues}) {
    for (absl::Span<const uint8_t> run :
         model.kv().Read(layer, component, model.BlockTable(0), 0, num_tokens)) {
      bytes.insert(bytes.end(), run.begin(), run.end());
    }
  }
  return bytes;
}

TEST_F(ForwardTest, ReportsALayerOnceItsKeysAndValuesAreStored) {
  TinyModel model("gemma3", DType::kF16, *ops_);
  const std::vector<TokenId> tokens = LoadGoldenCases("gemma3")[1].prompt;
  const int num_tokens = static_cast<int>(tokens.size());
  StepInput input;
  model.Append(0, tokens, 0, num_tokens, input);
  std::vector<int> layers;
  std::vector<std::vector<uint8_t>> when_told;
  CHECK_OK(model.transformer().Forward(
      input,
      [&](int layer) {
        layers.push_back(layer);
        when_told.push_back(StoredBytes(model, layer, num_tokens));
      },
      [&](int, absl::Span<const float>) { EXPECT_EQ(layers.size(), 6u) << "logits come last"; }));
  EXPECT_THAT(layers, testing::ElementsAre(0, 1, 2, 3, 4, 5));
  for (size_t layer = 0; layer < layers.size(); ++layer) {
    EXPECT_EQ(when_told[layer], StoredBytes(model, static_cast<int>(layer), num_tokens));
  }
}

TEST_F(ForwardTest, SoftcapBoundsLogits) {
  auto model = LoadModel(TinyModelPath("llama"));
  ASSERT_TRUE(model.ok()) << model.status();
  (*model)->config.final_logit_softcap = 1.5f;
  auto kv = KvCache::Create(MakeKvLayout((*model)->config, DType::kF32, 16), 1);
  ASSERT_TRUE(kv.ok()) << kv.status();
  auto transformer = Transformer::Create(**model, {16, 16}, *ops_, **kv);
  ASSERT_TRUE(transformer.ok()) << transformer.status();
  const std::vector<BlockId> blocks = {0};
  StepInput input;
  input.token_ids = {5};
  input.positions = {0};
  input.slots = {0};
  input.sequences.push_back({0, 1, 0, blocks});
  input.logit_rows = {0};
  const std::vector<TokenId> token = {5};
  TinyModel plain("llama", DType::kF32, *ops_);
  const std::vector<float> uncapped = plain.Run(token, 1)[0];
  CHECK_OK((*transformer)
               ->Forward(
                   input, [](int) {},
                   [&](int, absl::Span<const float> logits) {
                     for (size_t i = 0; i < logits.size(); ++i) {
                       EXPECT_NEAR(logits[i], 1.5f * std::tanh(uncapped[i] / 1.5f), 1e-5);
                     }
                   }));
}

}  // namespace
}  // namespace tandem
