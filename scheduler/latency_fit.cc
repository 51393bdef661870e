#include "scheduler/latency_fit.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace tandem {
namespace {

// Where each coefficient stands in the vector of unknowns.
enum : int {
  kPrefillBase,
  kPrefillToken,
  kPrefillSquare,
  kDecodeBase,
  kDecodeContext,
  kDecodeRow,
  kLargeDecode,  // its base; context and row follow
};
constexpr int kDecodeSize = kLargeDecode - kDecodeBase;

// The noise of a step's time never counts as less: a few steps that happen to agree prove little.
constexpr double kLeastError = 0.02;
// An error of more usual ones than these makes a step count less (Huber, 1964; for normal errors
// the loss is then a few percent).
constexpr double kUsualErrors = 3;
// Steps over which the usual error is averaged.
constexpr double kErrorSteps = 50;
// A foretold time is good when its standard deviation is at most this part of it.
constexpr double kGoodDeviation = 0.2;

LatencyCoefficients ToCoefficients(const NormalEquations::Vector& x, int64_t large_decode_rows) {
  const auto decode = [&x](int first) {
    return LatencyCoefficients::Decode{
        .base_ms = x[first], .context_ms = x[first + 1], .row_ms = x[first + 2]};
  };
  return {.prefill = {.base_ms = x[kPrefillBase],
                      .token_ms = x[kPrefillToken],
                      .square_ms = x[kPrefillSquare]},
          .decode = decode(kDecodeBase),
          .large_decode = decode(kLargeDecode),
          .large_decode_rows = large_decode_rows};
}

}  // namespace

LatencyFit::LatencyFit(const LatencyFitOptions& options) : options_(options) {}

void LatencyFit::Seed(const LatencyModel& model) {
  // A grid of steps as serving makes them, so that the model counts for as many observations.
  for (const int64_t tokens : {1, 8, 32, 128, 512, 1024, 2048, 4096}) {
    for (const int64_t begin : {int64_t{0}, 4 * tokens}) {
      StepShape shape;
      shape.AddChunk(begin, tokens);
      Observe(shape, model.StepTime(shape));
    }
  }
  for (const int64_t rows : {1, 2, 8, 32, 128, 512}) {
    for (const int64_t context : {1, 128, 1024, 8192}) {
      const StepShape shape{.decode_rows = rows, .decode_context = rows * context};
      Observe(shape, model.StepTime(shape));
    }
  }
}

LatencyFit::Vector LatencyFit::Factors(const StepShape& shape) const {
  Vector factors{};
  int base = -1;
  if (shape.prefill_tokens > 0) {
    base = kPrefillBase;
    factors[kPrefillToken] = static_cast<double>(shape.prefill_tokens);
    factors[kPrefillSquare] = static_cast<double>(shape.prefill_squares);
  }
  if (shape.decode_rows > 0) {
    const bool is_large =
        options_.large_decode_rows > 0 && shape.NumTokens() >= options_.large_decode_rows;
    const int first = is_large ? kDecodeBase + kDecodeSize : kDecodeBase;
    factors[first + 1] = static_cast<double>(shape.decode_context);
    factors[first + 2] = static_cast<double>(shape.decode_rows);
    if (base < 0 || values_[first] > values_[base]) base = first;
  }
  if (base >= 0) factors[base] = 1;
  return factors;
}

void LatencyFit::Observe(const StepShape& shape, absl::Duration time) {
  const double time_ms = absl::ToDoubleMilliseconds(time);
  Vector factors = Factors(shape);
  if (time_ms <= 0 || !std::isfinite(time_ms) || factors == Vector{}) return;
  double foreseen_ms = 0;
  for (int i = 0; i < NormalEquations::kSize; ++i) foreseen_ms += factors[i] * values_[i];
  const bool is_known = IsCalibrated(shape);
  // An error of 1 is then one of 100%. Relative to the time taken, of steps that are alike the
  // longer ones would count less, and the result be less than their mean.
  const double scale_ms = is_known ? foreseen_ms : time_ms;
  for (int i = 0; i < NormalEquations::kSize; ++i) {
    factors[i] /= scale_ms;
    if (factors[i] == 0) continue;
    const double part =
        std::max(1 - options_.forgetting, 1.0 / static_cast<double>(++num_seen_[i]));
    mean_square_[i] += part * (factors[i] * factors[i] - mean_square_[i]);
  }
  const double error = time_ms / scale_ms - 1;
  const double weight = is_known ? WeightOf(error) : 1;
  // What is forgotten is replaced by the present value with the weight of one step, so that a
  // coefficient that no step shows for long keeps its value (stabilised forgetting).
  const double forgotten = 1 - options_.forgetting;
  equations_.Scale(options_.forgetting);
  for (int i = 0; i < NormalEquations::kSize; ++i) {
    if (num_seen_[i] > 0) equations_.AddDiagonal(i, values_[i], forgotten * mean_square_[i]);
  }
  equations_.Add(factors, time_ms / scale_ms, weight);
  ++(shape.decode_rows == 0      ? counts_.prefill
     : shape.prefill_tokens == 0 ? counts_.decode
                                 : counts_.mixed);
  if (is_known) AddToMeanError(error);
  Solve();
}

double LatencyFit::WeightOf(double error) const {
  const double limit = kUsualErrors * std::max(mean_error_, kLeastError);
  return std::min(1.0, limit / std::abs(error));
}

void LatencyFit::AddToMeanError(double error) {
  // One outlier moves the mean little, a change for good moves it soon.
  const double limit = kUsualErrors * std::max(mean_error_, kLeastError);
  num_errors_ = std::min(num_errors_ + 1, kErrorSteps);
  mean_error_ += (std::min(std::abs(error), limit) - mean_error_) / num_errors_;
}

void LatencyFit::Solve() {
  values_ = equations_.SolveNonNegative(values_);
  LatencyCoefficients found = ToCoefficients(values_, options_.large_decode_rows);
  // Until a regime was seen, the other one is the best guess.
  const bool knows_small = num_seen_[kDecodeContext] >= options_.regime_steps;
  const bool knows_large = num_seen_[kLargeDecode + 1] >= options_.regime_steps;
  if (!knows_large) {
    found.large_decode = found.decode;
  } else if (!knows_small) {
    found.decode = found.large_decode;
  } else if (num_seen_[kLargeDecode] < options_.regime_steps) {
    found.large_decode.base_ms = std::max(found.large_decode.base_ms, found.decode.base_ms);
  }
  absl::StatusOr<LatencyModel> model = LatencyModel::Create(found);
  if (model.ok()) model_ = *model;  // else the numbers have overflowed: stay with the last ones
}

bool LatencyFit::IsCalibrated(const StepShape& shape) const {
  if (shape.prefill_tokens > 0 && !IsPrefillCalibrated()) return false;
  if (shape.decode_rows > 0 && !IsDecodeCalibrated()) return false;
  const double time_ms = absl::ToDoubleMilliseconds(model_.StepTime(shape));
  if (time_ms <= 0) return false;
  Vector factors = Factors(shape);
  for (double& factor : factors) factor /= time_ms;
  const double deviation = std::max(mean_error_, kLeastError);
  return deviation * std::sqrt(equations_.Variance(factors)) <= kGoodDeviation;
}

}  // namespace tandem
