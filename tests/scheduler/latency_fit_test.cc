#include "scheduler/latency_fit.h"

#include <gtest/gtest.h>

#include <random>

namespace tandem {
namespace {

LatencyModel MakeModel(double factor = 1) {
  return LatencyModel::Create({.prefill = {4 * factor, 0.4 * factor, 2e-5 * factor},
                               .decode = {6 * factor, 4e-4 * factor, 0.5 * factor}})
      .value();
}

// Steps as a server makes them, with times of `truth` that are off by up to `noise`.
class Steps {
 public:
  explicit Steps(uint32_t seed, double noise = 0.03) : random_(seed), noise_(noise) {}

  StepShape Prefill() {
    StepShape shape;
    shape.AddChunk(Random(2) * Random(2000), 1 + Random(1500));
    return shape;
  }
  StepShape Decode() {
    const int rows = 1 + Random(32);
    return {.decode_rows = rows, .decode_context = int64_t{rows} * (1 + Random(2000))};
  }
  StepShape Any() {
    const int kind = Random(3);
    if (kind == 0) return Prefill();
    StepShape shape = Decode();
    if (kind == 1) shape.AddChunk(0, 1 + Random(500));
    return shape;
  }
  absl::Duration Time(const LatencyModel& truth, const StepShape& shape) {
    return truth.StepTime(shape) * (1 + noise_ * (Random(2001) - 1000) / 1000.0);
  }
  int Random(int bound) { return static_cast<int>(random_() % bound); }

 private:
  std::mt19937 random_;
  const double noise_;
};

double RelativeError(const LatencyModel& model, const LatencyModel& truth, const StepShape& shape) {
  return std::abs(absl::FDivDuration(model.StepTime(shape), truth.StepTime(shape)) - 1);
}

// The largest over a grid that reaches from one token to long prompts and full batches.
double WorstError(const LatencyModel& model, const LatencyModel& truth) {
  double worst = 0;
  for (int tokens : {16, 128, 512, 2048}) {
    StepShape shape;
    shape.AddChunk(0, tokens);
    worst = std::max(worst, RelativeError(model, truth, shape));
  }
  for (int rows : {1, 4, 16, 32}) {
    for (int context : {16, 256, 2048}) {
      worst = std::max(
          worst, RelativeError(model, truth,
                               {.decode_rows = rows, .decode_context = int64_t{rows} * context}));
    }
  }
  return worst;
}

TEST(LatencyFitTest, FindsTheCoefficientsFromStepsOfAllKinds) {
  LatencyFit fit;
  Steps steps(1);
  for (int i = 0; i < 500; ++i) {
    const StepShape shape = steps.Any();
    fit.Observe(shape, steps.Time(MakeModel(), shape));
  }
  EXPECT_LT(WorstError(fit.model(), MakeModel()), 0.05);
  EXPECT_LT(fit.relative_error(), 0.03);
}

TEST(LatencyFitTest, IsNotCalibratedBeforeItHasSeenEnough) {
  LatencyFit fit;
  Steps steps(2);
  const StepShape decode{.decode_rows = 4, .decode_context = 1000};
  EXPECT_FALSE(fit.IsCalibrated(decode));
  EXPECT_EQ(fit.model().StepTime(decode), absl::ZeroDuration());
  for (int i = 0; i < 40; ++i) {
    const StepShape shape = steps.Decode();
    fit.Observe(shape, steps.Time(MakeModel(), shape));
  }
  EXPECT_TRUE(fit.IsCalibrated(decode));
  EXPECT_TRUE(fit.IsDecodeCalibrated());
  EXPECT_FALSE(fit.IsPrefillCalibrated());
  StepShape prefill;
  prefill.AddChunk(0, 100);
  EXPECT_FALSE(fit.IsCalibrated(prefill));
}

TEST(LatencyFitTest, DoesNotForetellShapesFarFromThoseSeen) {
  LatencyFit fit;
  Steps steps(3);
  for (int i = 0; i < 100; ++i) {
    StepShape shape;
    shape.AddChunk(0, 14 + i % 5);
    fit.Observe(shape, steps.Time(MakeModel(), shape));
  }
  StepShape near, far;
  near.AddChunk(0, 16);
  far.AddChunk(0, 4000);
  EXPECT_TRUE(fit.IsCalibrated(near));
  EXPECT_FALSE(fit.IsCalibrated(far));
}

TEST(LatencyFitTest, StepsThatWereDisturbedHardlyMatter) {
  LatencyFit fit;
  Steps steps(4);
  for (int i = 0; i < 4000; ++i) {
    const StepShape shape = steps.Any();
    const double disturbance = i % 20 == 7 ? 25.0 : i % 50 == 13 ? 0.2 : 1.0;
    fit.Observe(shape, steps.Time(MakeModel(), shape) * disturbance);
  }
  EXPECT_LT(WorstError(fit.model(), MakeModel()), 0.02);
}

TEST(LatencyFitTest, FollowsADeviceThatBecomesSlower) {
  LatencyFit fit;
  Steps steps(5);
  for (int i = 0; i < 3000; ++i) {
    const StepShape shape = steps.Any();
    fit.Observe(shape, steps.Time(MakeModel(), shape));
  }
  for (int i = 0; i < 5000; ++i) {
    const StepShape shape = steps.Any();
    fit.Observe(shape, steps.Time(MakeModel(2), shape));
  }
  EXPECT_LT(WorstError(fit.model(), MakeModel(2)), 0.08);
}

TEST(LatencyFitTest, RemembersPromptsThroughALongTimeOfDecoding) {
  LatencyFit fit;
  Steps steps(6);
  for (int i = 0; i < 500; ++i) {
    const StepShape shape = steps.Any();
    fit.Observe(shape, steps.Time(MakeModel(), shape));
  }
  for (int i = 0; i < 100000; ++i) {
    const StepShape shape{.decode_rows = 1, .decode_context = 100 + i % 50};
    fit.Observe(shape, steps.Time(MakeModel(), shape));
  }
  EXPECT_LT(WorstError(fit.model(), MakeModel()), 0.08);
}

TEST(LatencyFitTest, KeepsBothDecodeRegimesApart) {
  const LatencyModel truth = LatencyModel::Create({.prefill = {},
                                                   .decode = {20, 6e-4, 0.04},
                                                   .large_decode = {7, 6e-4, 0.16},
                                                   .large_decode_rows = 16})
                                 .value();
  LatencyFit fit({.large_decode_rows = 16});
  Steps steps(7, 0);
  for (int i = 0; i < 500; ++i) {
    const StepShape shape = steps.Decode();
    fit.Observe(shape, steps.Time(truth, shape));
  }
  for (int rows : {2, 15, 16, 30}) {
    EXPECT_LT(RelativeError(fit.model(), truth,
                            {.decode_rows = rows, .decode_context = int64_t{rows} * 700}),
              0.01)
        << rows;
  }
}

TEST(LatencyFitTest, LearnsTheMeanOfStepsThatScatter) {
  LatencyFit fit;
  Steps steps(10, /*noise=*/0.4);
  for (int i = 0; i < 20000; ++i) {
    const StepShape shape = steps.Any();
    fit.Observe(shape, steps.Time(MakeModel(), shape));
  }
  double sum = 0;
  constexpr int kSteps = 500;
  for (int i = 0; i < kSteps; ++i) {
    const StepShape shape = steps.Any();
    sum += absl::FDivDuration(fit.model().StepTime(shape), MakeModel().StepTime(shape));
  }
  EXPECT_NEAR(sum / kSteps, 1, 0.02);
  EXPECT_NEAR(fit.relative_error(), 0.2, 0.05);
}

TEST(LatencyFitTest, LearnsTheMeanFromFewStepsThatScatter) {
  // Prompts of a short warm-up, of which a few take longer than the rest. The mean of many fits.
  double sum = 0;
  constexpr int kFits = 40;
  for (int seed = 0; seed < kFits; ++seed) {
    LatencyFit fit;
    std::mt19937 random(seed);
    const StepShape middle{.prefill_tokens = 272, .prefill_squares = 272 * 272};
    constexpr double kMeanMs = 2 * 272;
    for (int i = 0; i < 70; ++i) {
      const int tokens = 32 + static_cast<int>(random() % 481);
      StepShape shape;
      shape.AddChunk(0, tokens);
      const double factor = random() % 5 == 0 ? 1.28 : 0.93;  // mean 1
      fit.Observe(shape, absl::Milliseconds(2 * tokens * factor));
    }
    sum += absl::ToDoubleMilliseconds(fit.model().StepTime(middle)) / kMeanMs;
  }
  EXPECT_NEAR(sum / kFits, 1, 0.02);
}

TEST(LatencyFitTest, ARegimeThatWasNotSeenYetIsTakenForTheOther) {
  const LatencyModel truth = LatencyModel::Create({.prefill = {4, 0.4, 0},
                                                   .decode = {6, 4e-4, 0.5},
                                                   .large_decode = {9, 4e-4, 2},
                                                   .large_decode_rows = 5})
                                 .value();
  LatencyFit fit({.large_decode_rows = 5});
  Steps steps(11, 0);
  const auto observe_rows = [&](int rows) {
    for (int i = 0; i < 100; ++i) {
      const StepShape shape{.decode_rows = 1 + i % rows, .decode_context = 10 + i};
      fit.Observe(shape, truth.StepTime(shape));
    }
  };
  observe_rows(4);
  EXPECT_NEAR(absl::ToDoubleMilliseconds(fit.model().DecodeTime(8, 0)), 6 + 8 * 0.5, 0.1);
  observe_rows(12);
  EXPECT_NEAR(absl::ToDoubleMilliseconds(fit.model().DecodeTime(8, 0)), 9 + 8 * 2, 0.1);
  EXPECT_NEAR(absl::ToDoubleMilliseconds(fit.model().DecodeTime(2, 0)), 6 + 2 * 0.5, 0.1);
}

TEST(LatencyFitTest, CountsItsStepsByKind) {
  LatencyFit fit;
  StepShape chunk, mixed{.decode_rows = 1, .decode_context = 9};
  chunk.AddChunk(0, 10);
  mixed.AddChunk(0, 10);
  for (int i = 0; i < 3; ++i) fit.Observe(chunk, absl::Milliseconds(5));
  for (int i = 0; i < 2; ++i) fit.Observe(mixed, absl::Milliseconds(6));
  fit.Observe({.decode_rows = 2, .decode_context = 9}, absl::Milliseconds(3));
  EXPECT_EQ(fit.counts(), (StepCounts{.prefill = 3, .decode = 1, .mixed = 2}));
}

TEST(LatencyFitTest, NoCoefficientIsNegativeWhateverIsObserved) {
  LatencyFit fit;
  Steps steps(8);
  for (int i = 0; i < 2000; ++i) {
    fit.Observe(steps.Any(), absl::Microseconds(1 + steps.Random(100000)));
    const LatencyCoefficients& c = fit.model().coefficients();
    for (double value : {c.prefill.base_ms, c.prefill.token_ms, c.prefill.square_ms,
                         c.decode.base_ms, c.decode.context_ms, c.decode.row_ms}) {
      ASSERT_GE(value, 0);
      ASSERT_LT(value, 1e6);
    }
  }
}

TEST(LatencyFitTest, BeginsWithAProfileAndLearnsFromThere) {
  LatencyFit fit;
  fit.Seed(MakeModel());
  EXPECT_LT(WorstError(fit.model(), MakeModel()), 0.01);
  StepShape prefill;
  prefill.AddChunk(0, 700);
  EXPECT_TRUE(fit.IsCalibrated(prefill));
  Steps steps(9);
  for (int i = 0; i < 3000; ++i) {
    const StepShape shape = steps.Any();
    fit.Observe(shape, steps.Time(MakeModel(1.5), shape));
  }
  EXPECT_LT(WorstError(fit.model(), MakeModel(1.5)), 0.08);
}

TEST(LatencyFitTest, IgnoresWhatIsNoStep) {
  LatencyFit fit;
  fit.Observe({}, absl::Milliseconds(3));
  fit.Observe({.decode_rows = 1, .decode_context = 1}, absl::ZeroDuration());
  fit.Observe({.decode_rows = 1, .decode_context = 1}, absl::InfiniteDuration());
  EXPECT_EQ(fit.model().DecodeTime(1, 1), absl::ZeroDuration());
}

}  // namespace
}  // namespace tandem
