#include "scheduler/speed_model.h"

#include <gtest/gtest.h>

namespace tandem {
namespace {

StepLatency Reported() {
  return {.knows_prefill = true,
          .knows_decode = true,
          .coefficients = {.prefill = {.base_ms = 5, .token_ms = 2, .square_ms = 0.001},
                           .decode = {.base_ms = 6, .context_ms = 0.01, .row_ms = 0.5}}};
}

TEST(SpeedModelTest, GuessesUntilItIsTold) {
  SpeedModel speed;
  EXPECT_FALSE(speed.knows_prefill());
  EXPECT_EQ(speed.PrefillMs({}, {.num_tokens = 100}), 100);
  EXPECT_LT(speed.StepMs({.num_rows = 1}, 10), speed.StepMs({.num_rows = 2}, 10));
  speed.Learn({.knows_prefill = true, .coefficients = Reported().coefficients});
  EXPECT_TRUE(speed.knows_prefill());
  EXPECT_FALSE(speed.knows_decode());
}

TEST(SpeedModelTest, FollowsTheStepTimesOfTheLatencyModel) {
  SpeedModel speed;
  speed.Learn(Reported());
  const LatencyModel model = *LatencyModel::Create(Reported().coefficients);
  const auto ms = [](absl::Duration time) { return absl::ToDoubleMilliseconds(time); };
  EXPECT_NEAR(speed.PrefillMs({}, {.num_tokens = 400, .num_cached = 160}),
              ms(model.PrefillTime(400, 160)), 1e-3);
  EXPECT_NEAR(speed.StepMs({.num_rows = 3, .num_context_tokens = 500}, 100),
              ms(model.DecodeTime(4, 600)), 1e-3);
  StepShape mixed;
  mixed.AddChunk(0, 64);
  mixed.AddDecode(50);
  mixed.AddDecode(70);
  EXPECT_NEAR(speed.PrefillMs({.num_rows = 2, .num_context_tokens = 120}, {.num_tokens = 64}),
              ms(model.StepTime(mixed)), 1e-3);
}

TEST(SpeedModelTest, RowsBesideAPromptTakeWhatThoseOfALargeBatchTake) {
  StepLatency reported = Reported();
  reported.coefficients.large_decode = {.base_ms = 7, .context_ms = 0.02, .row_ms = 3};
  reported.coefficients.large_decode_rows = 5;
  SpeedModel speed;
  speed.Learn(reported);
  const LatencyModel model = *LatencyModel::Create(reported.coefficients);
  StepShape mixed;
  mixed.AddChunk(0, 64);
  mixed.AddDecode(50);
  EXPECT_NEAR(speed.PrefillMs({.num_rows = 1, .num_context_tokens = 50}, {.num_tokens = 64}),
              absl::ToDoubleMilliseconds(model.StepTime(mixed)), 1e-3);
  EXPECT_NEAR(speed.StepMs({.num_rows = 1, .num_context_tokens = 50}, 50),
              absl::ToDoubleMilliseconds(model.DecodeTime(2, 100)), 1e-3);
}

TEST(SpeedModelTest, WaitsForAllThatIsQueued) {
  SpeedModel speed;
  speed.Learn(Reported());
  EXPECT_EQ(speed.WaitMs({}), 0);
  const InstanceLoad queued = {
      .num_queued_tokens = 200, .queued_squares = 2 * 100 * 100, .num_queued_prompts = 2};
  EXPECT_NEAR(speed.WaitMs(queued), 2 * speed.PrefillMs({}, {.num_tokens = 100}), 1e-9);
  InstanceLoad pipelined = queued;
  pipelined.depth = 2;
  EXPECT_NEAR(speed.WaitMs(pipelined), speed.PrefillMs({}, {.num_tokens = 100}), 1e-9)
      << "two steps at once";
}

TEST(SpeedModelTest, RowsDecodeInEveryChunkOfAPrompt) {
  SpeedModel speed;
  speed.Learn(Reported());
  const auto ms = [&](int num_rows, int chunk_tokens) {
    return speed.PrefillMs({.num_rows = num_rows, .chunk_tokens = chunk_tokens},
                           {.num_tokens = 256});
  };
  EXPECT_GT(ms(4, 64), ms(4, 256));
  EXPECT_EQ(ms(0, 64), ms(0, 256)) << "without rows prompts come in larger chunks";
}

TEST(SpeedModelTest, LaterReportsMoveItALittle) {
  SpeedModel speed;
  speed.Learn(Reported());
  StepLatency slower = Reported();
  slower.coefficients.prefill.token_ms = 3;
  speed.Learn(slower);
  const double ms = speed.PrefillMs({}, {.num_tokens = 100});
  EXPECT_GT(ms, 5 + 200 + 10);
  EXPECT_LT(ms, 5 + 250 + 10);
}

TEST(SpeedModelTest, OfATransferThePartIsExposedThatThePrefillDoesNotHide) {
  // 2 KiB a token and layer.
  const KvLayout layout = {.num_layers = 10, .num_kv_heads = 4, .head_dim = 128, .block_size = 16};
  const double all_ms = 100 * 10 * 2048.0 / 1e6;
  EXPECT_NEAR(ExposedTransferMs(layout, 100, 1e9, 100), all_ms / 10, 1e-9) << "the last layer's";
  EXPECT_NEAR(ExposedTransferMs(layout, 100, 1e6, 100), 1000 * all_ms - 90, 1e-6);
  EXPECT_EQ(ExposedTransferMs(layout, 0, 1e6, 100), 0);
}

}  // namespace
}  // namespace tandem
