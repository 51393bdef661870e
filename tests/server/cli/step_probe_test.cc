#include "server/cli/step_probe.h"

#include <gtest/gtest.h>

#include "tests/engine/model/tiny_model.h"

namespace tandem {
namespace {

TEST(StepProbeTest, TimesStepsOfEveryKind) {
  RunnerOptions options;
  options.model_path = TinyModelPath("llama");
  options.max_num_batched_tokens = 32;
  options.kv_cache_bytes = 1 << 20;
  const auto probe = StepProbe::Create(options);
  ASSERT_TRUE(probe.ok()) << probe.status();
  for (const StepPoint& point :
       {StepPoint{.chunk_tokens = 20}, StepPoint{.chunk_tokens = 8, .chunk_begin = 40},
        StepPoint{.num_rows = 3, .context = 30},
        StepPoint{.chunk_tokens = 5, .num_rows = 2, .context = 17}}) {
    ASSERT_TRUE((*probe)->Fits(point));
    const auto time = (*probe)->Time(point);
    ASSERT_TRUE(time.ok()) << time.status();
    EXPECT_GT(*time, absl::ZeroDuration());
  }
}

TEST(StepProbeTest, KnowsWhatDoesNotFitAWorker) {
  RunnerOptions options;
  options.model_path = TinyModelPath("llama");
  options.max_num_batched_tokens = 32;
  options.kv_cache_bytes = 1 << 16;
  const auto probe = StepProbe::Create(options);
  ASSERT_TRUE(probe.ok()) << probe.status();
  EXPECT_FALSE((*probe)->Fits({.chunk_tokens = 33}));
  EXPECT_FALSE((*probe)->Fits({.num_rows = 30, .context = 100}));
  EXPECT_FALSE((*probe)->Fits({.num_rows = 1, .context = 1 << 20}));
}

}  // namespace
}  // namespace tandem
