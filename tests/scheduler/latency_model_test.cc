#include "scheduler/latency_model.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace tandem {
namespace {

// OPT-13B on one A100, as DistServe publishes it.
LatencyCoefficients Opt13b() {
  return {.prefill = {18.10254647486372, 0.1019122572698738, 7.122264314252114e-06},
          .decode = {19.934702624895458, 0.0006269356524350583, 0.03850697740828398},
          .large_decode = {7.1661889468253595, 0.0005798000403396046, 0.15831096191764046},
          .large_decode_rows = 95};
}

LatencyModel Model() { return LatencyModel::Create(Opt13b()).value(); }

double Milliseconds(absl::Duration time) { return absl::ToDoubleMilliseconds(time); }

TEST(LatencyModelTest, CountsChunksAndDecodeRowsOfABatch) {
  const std::vector<TokenId> tokens(40);
  Batch batch;
  batch.rows = {{.tokens = tokens, .num_prompt_tokens = 10, .begin = 39, .num_tokens = 1},
                {.tokens = tokens, .num_prompt_tokens = 40, .begin = 8, .num_tokens = 16},
                // Computed again after a preemption: tokens behind the prompt, but a chunk.
                {.tokens = tokens, .num_prompt_tokens = 10, .begin = 20, .num_tokens = 20}};
  const StepShape shape = ShapeOf(batch);
  EXPECT_EQ(shape.decode_rows, 1);
  EXPECT_EQ(shape.decode_context, 40);
  EXPECT_EQ(shape.prefill_tokens, 36);
  EXPECT_EQ(shape.prefill_squares, 24 * 24 - 8 * 8 + 40 * 40 - 20 * 20);
}

TEST(LatencyModelTest, ChunksOfAPromptAddUpToTheWhole) {
  StepShape whole, chunks;
  whole.AddChunk(0, 1000);
  for (int begin = 0; begin < 1000; begin += 125) chunks.AddChunk(begin, 125);
  EXPECT_EQ(whole, chunks);
}

TEST(LatencyModelTest, GivesThePublishedTimesOfPrefill) {
  // Without the 3 + 1e-4 * tokens that DistServe's simulator adds for stages and calls.
  EXPECT_NEAR(Milliseconds(Model().PrefillTime(512, 0)), 75.199881 - 3.0512, 1e-5);
}

TEST(LatencyModelTest, GivesThePublishedTimesOfBothDecodeRegimes) {
  const double call = 2, per_context = 1e-4;
  EXPECT_NEAR(Milliseconds(Model().DecodeTime(94, 94 * 301)),
              46.112876 - call - per_context * 94 * 300, 1e-5);
  EXPECT_NEAR(Milliseconds(Model().DecodeTime(95, 95 * 301)),
              43.635112 - call - per_context * 95 * 300, 1e-5);
}

TEST(LatencyModelTest, CachedTokensAreAttendedToButNotComputed) {
  const LatencyCoefficients c = Opt13b();
  EXPECT_NEAR(
      Milliseconds(Model().PrefillTime(512, 384)),
      c.prefill.base_ms + 128 * c.prefill.token_ms + (512 * 512 - 384 * 384) * c.prefill.square_ms,
      1e-6);
}

TEST(LatencyModelTest, AStepOfBothPhasesPaysTheLargerBaseOnce) {
  const LatencyCoefficients c = Opt13b();
  StepShape shape{.decode_rows = 4, .decode_context = 400};
  shape.AddChunk(0, 50);
  EXPECT_NEAR(Milliseconds(Model().StepTime(shape)),
              c.decode.base_ms + 400 * c.decode.context_ms + 4 * c.decode.row_ms +
                  50 * c.prefill.token_ms + 2500 * c.prefill.square_ms,
              1e-6);
}

TEST(LatencyModelTest, RowsBesideALargeChunkTakeWhatRowsOfALargeBatchTake) {
  const LatencyCoefficients c = Opt13b();
  StepShape shape{.decode_rows = 4, .decode_context = 400};
  shape.AddChunk(0, 91);
  EXPECT_NEAR(Milliseconds(Model().StepTime(shape)),
              c.prefill.base_ms + 400 * c.large_decode.context_ms + 4 * c.large_decode.row_ms +
                  91 * c.prefill.token_ms + 91 * 91 * c.prefill.square_ms,
              1e-6);
}

TEST(LatencyModelTest, NothingTakesNoTime) {
  EXPECT_EQ(Model().StepTime({}), absl::ZeroDuration());
  EXPECT_EQ(LatencyModel().PrefillTime(512, 0), absl::ZeroDuration());
}

TEST(LatencyModelTest, NamesTheCoefficientThatMakesNoSense) {
  LatencyCoefficients negative = Opt13b();
  negative.prefill.square_ms = -7.1e-6;
  EXPECT_EQ(LatencyModel::Create(negative).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(LatencyModel::Create(negative).status().message().find("prefill square"),
            std::string::npos);
  LatencyCoefficients nan = Opt13b();
  nan.large_decode.row_ms = std::numeric_limits<double>::quiet_NaN();
  EXPECT_NE(LatencyModel::Create(nan).status().message().find("large decode row"),
            std::string::npos);
  LatencyCoefficients endless = Opt13b();
  endless.decode.base_ms = 1e300;
  EXPECT_NE(LatencyModel::Create(endless).status().message().find("decode base"),
            std::string::npos);
}

}  // namespace
}  // namespace tandem
