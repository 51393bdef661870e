// Learns a latency model from the steps of one instance while it serves.
//
//   LatencyFit fit({.large_decode_rows = 0});
//   fit.Observe(ShapeOf(batch), duration);
//   if (fit.IsCalibrated(shape)) use(fit.model().StepTime(shape));
#pragma once

#include <array>
#include <cstdint>

#include "absl/time/time.h"
#include "scheduler/latency_model.h"
#include "scheduler/least_squares.h"

namespace tandem {

struct LatencyFitOptions {
  // What an observation is worth after each further one. 1: all count alike.
  double forgetting = 0.999;
  int64_t large_decode_rows = 0;  // see LatencyCoefficients
  // Steps of a regime, few or many rows, until which it takes the numbers of the other one: steps
  // of serving are alike for a while.
  int64_t regime_steps = 16;
};

// Weighted least squares on the error relative to what was foreseen, so that the model is that of
// the mean: where what is older counts less, a step that took far longer or shorter than foreseen
// (a page fault, a preempted thread) counts less, and no coefficient is negative. What the latest
// steps tell nothing about stays as it was. Owner thread only; observing allocates nothing; the
// same observations give the same model.
class LatencyFit {
 public:
  explicit LatencyFit(const LatencyFitOptions& options = {});

  // Begins with what `model` says, until steps say otherwise.
  void Seed(const LatencyModel& model);

  // A step of this shape took `time`. Empty shapes and times that are not positive are ignored.
  void Observe(const StepShape& shape, absl::Duration time);

  // All zero before the first observation.
  const LatencyModel& model() const { return model_; }

  // Whether enough steps were seen to foretell one of this shape. False for a phase that was hardly
  // ever seen, and for shapes far from those seen.
  bool IsCalibrated(const StepShape& shape) const;

  // Whether enough steps of the phase were seen to foretell its usual ones.
  bool IsPrefillCalibrated() const { return counts_.prefill + counts_.mixed >= kEnoughSteps; }
  bool IsDecodeCalibrated() const { return counts_.decode + counts_.mixed >= kEnoughSteps; }
  static constexpr int64_t kEnoughSteps = 16;

  // Steps so far.
  const StepCounts& counts() const { return counts_; }

  // Mean of |taken / foreseen - 1| over the latest steps; before the first of them a guess.
  double relative_error() const { return mean_error_; }

 private:
  using Vector = NormalEquations::Vector;

  // Taken for the error of as many steps before the first. Too small, and of steps that scatter the
  // slow ones count less from the start: the model is then that of the fast ones.
  static constexpr double kFirstError = 0.2;
  static constexpr double kFirstErrorSteps = 8;

  // The coefficients' factors in the time of a step.
  Vector Factors(const StepShape& shape) const;
  double WeightOf(double error) const;
  void AddToMeanError(double error);
  void Solve();

  const LatencyFitOptions options_;
  NormalEquations equations_;
  Vector mean_square_{};  // of each factor over time, where it is not 0
  std::array<int64_t, NormalEquations::kSize> num_seen_{};
  Vector values_{};  // in ms
  LatencyModel model_;
  StepCounts counts_;
  double mean_error_ = kFirstError;
  double num_errors_ = kFirstErrorSteps;  // that mean_error_ is worth
};

}  // namespace tandem
