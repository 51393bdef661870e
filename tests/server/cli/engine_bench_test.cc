#include "server/cli/engine_bench.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/model/tiny_model.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;
using Phase = EngineLoad::Phase;

constexpr EngineLoad kPrefill = {.phase = Phase::kPrefill, .num_tokens = 40};
constexpr EngineLoad kDecode = {
    .phase = Phase::kDecode, .num_sequences = 3, .context = 20, .num_tokens = 5};

RunnerOptions Options() {
  RunnerOptions options;
  options.model_path = TinyModelPath("llama");
  options.max_num_batched_tokens = 16;
  return options;
}

std::string ErrorOf(const EngineLoad& load) {
  const absl::Status status = EngineBench::Create(Options(), {kDecode, load}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  return std::string(status.message());
}

TEST(EngineBenchTest, RunsLoadsAsOftenAsAsked) {
  const auto bench = EngineBench::Create(Options(), {kPrefill, kDecode});
  ASSERT_TRUE(bench.ok()) << bench.status();
  for (const EngineLoad& load : {kPrefill, kDecode, kPrefill}) {
    ASSERT_TRUE((*bench)->WarmUp(load).ok());
    for (int i = 0; i < 3; ++i) {
      const auto time = (*bench)->Pass(load);
      ASSERT_TRUE(time.ok()) << time.status();
      EXPECT_GT(*time, absl::ZeroDuration());
    }
  }
}

TEST(EngineBenchTest, TakesContextsThatNobodyComputed) {
  const auto bench = EngineBench::Create(Options(), {kDecode});
  ASSERT_TRUE(bench.ok()) << bench.status();
  ASSERT_TRUE((*bench)->WarmUp(kDecode, /*computed_context=*/false).ok());
  EXPECT_TRUE((*bench)->Pass(kDecode).ok());
}

TEST(EngineBenchTest, CountsTheWorkOfItsModel) {
  const auto bench = EngineBench::Create(Options(), {kPrefill});
  ASSERT_TRUE(bench.ok()) << bench.status();
  const LoadWork work = (*bench)->Work(kPrefill);
  EXPECT_EQ(work.num_steps, 3);
  const WeightCounts weights = (*bench)->runner().weight_counts();
  EXPECT_EQ(weights.head.NumWeights(), 320 * 64);
  EXPECT_EQ(weights.head.bytes, 320 * 64 * 4);
  EXPECT_EQ(work.weight_bytes, 3 * weights.layers.bytes + weights.head.bytes);
}

TEST(EngineBenchTest, RefusesLoadsThatTheEngineCannotHold) {
  EXPECT_THAT(ErrorOf({.phase = Phase::kPrefill, .num_tokens = 1000000}),
              HasSubstr("prefill 1000000 is longer than the model's context"));
  EXPECT_THAT(ErrorOf({.num_sequences = 17, .context = 1, .num_tokens = 1}),
              HasSubstr("--max-num-batched-tokens is 16"));
}

}  // namespace
}  // namespace tandem
