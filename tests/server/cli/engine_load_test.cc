#include "server/cli/engine_load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tandem {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Phase = EngineLoad::Phase;

constexpr EngineLoad kDefaults = {.context = 128, .num_tokens = 64};

std::vector<std::string> NamesOf(const absl::StatusOr<std::vector<EngineLoad>>& loads) {
  EXPECT_TRUE(loads.ok()) << loads.status();
  std::vector<std::string> names;
  for (const EngineLoad& load : *loads) names.push_back(load.Name());
  return names;
}

// Two layers, the second with a window of 8; every count is small enough to be done by hand.
ModelConfig SmallModel() {
  ModelConfig config;
  config.num_layers = 2;
  config.num_heads = 4;
  config.num_kv_heads = 2;
  config.head_dim = 16;
  config.sliding_window = 8;
  config.is_sliding = {false, true};
  return config;
}

constexpr WeightCounts kWeights = {
    .layers = {.bytes = 1000, .float_weights = 10, .integer_weights = 100},
    .head = {.bytes = 200, .float_weights = 0, .integer_weights = 20}};

LoadWork Count(const EngineLoad& load, int max_num_batched_tokens = 512) {
  const ModelConfig config = SmallModel();
  return CountWork(load, config, kWeights, MakeKvLayout(config, DType::kF16, 16),
                   max_num_batched_tokens);
}

TEST(EngineLoadTest, ListsOfPromptsAndBatchesAreRead) {
  EXPECT_THAT(NamesOf(ParsePrompts("128, 1536")), ElementsAre("prefill 128", "prefill 1536"));
  EXPECT_THAT(NamesOf(ParseBatches("1,64:256,8+16,32:128+128", kDefaults)),
              ElementsAre("decode batch 1 (128..192)", "decode batch 64 (256..320)",
                          "decode batch 8 (128..144)", "decode batch 32 (128..256)"));
  EXPECT_THAT(NamesOf(ParsePrompts("")), IsEmpty());
}

TEST(EngineLoadTest, MalformedListsAreRefusedByName) {
  for (const char* text : {"x", "0", "-1", "1.5", "99999999999"}) {
    const absl::Status status = ParsePrompts(text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(status.message()), HasSubstr(text));
  }
  for (const char* text : {"8:", "8+", ":128", "8:1+x", "8+1:1"}) {
    EXPECT_EQ(ParseBatches(text, kDefaults).status().code(), absl::StatusCode::kInvalidArgument)
        << text;
  }
}

TEST(EngineLoadTest, DecodeReadsEveryWeightAndTheKvOfEachSequenceInEachStep) {
  const LoadWork work =
      Count({.phase = Phase::kDecode, .num_sequences = 3, .context = 10, .num_tokens = 2});
  EXPECT_EQ(work.num_steps, 2);
  EXPECT_EQ(work.weight_bytes, 2 * 1200);
  // Positions 10 and 11 see 11 and 12 keys in one layer, 8 in the other; K and V are 64 bytes each.
  EXPECT_EQ(work.kv_bytes, 3 * (11 + 8 + 12 + 8) * 2 * 64);
  EXPECT_EQ(work.integer_flop, 2 * 3 * 2 * 120);
  EXPECT_EQ(work.float_flop, 2 * 3 * 2 * 10 + 3 * (11 + 8 + 12 + 8) * 4 * 64);
}

TEST(EngineLoadTest, PrefillIsCutIntoChunksAndUsesTheHeadOnce) {
  const EngineLoad load = {.phase = Phase::kPrefill, .num_tokens = 20};
  const LoadWork whole = Count(load);
  EXPECT_EQ(whole.num_steps, 1);
  EXPECT_EQ(whole.weight_bytes, 1200);
  EXPECT_EQ(whole.kv_bytes, (20 + 20) * 2 * 64);
  EXPECT_EQ(whole.integer_flop, 2 * (20 * 100 + 20));
  const LoadWork chunks = Count(load, 16);
  EXPECT_EQ(chunks.num_steps, 2);
  EXPECT_EQ(chunks.weight_bytes, 2 * 1000 + 200);
  // The second chunk sees all 20 keys, in the layer with a window those from 9 on.
  EXPECT_EQ(chunks.kv_bytes, (16 + 16 + 20 + 11) * 2 * 64);
  EXPECT_EQ(chunks.Flop(), whole.Flop());
}

}  // namespace
}  // namespace tandem
