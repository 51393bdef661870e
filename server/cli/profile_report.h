// What `tandem profile` found: the times of steps, the latency model fitted to them, and how far
// off it is.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "scheduler/latency_model.h"
#include "scheduler/sim/profile.h"
#include "server/cli/step_grid.h"

namespace tandem {

// A step with the times of its repetitions.
struct ProfilePoint {
  StepPoint step;
  std::vector<absl::Duration> times;  // at least one

  absl::Duration Median() const;
};

// Means and maxima of |foreseen / median - 1|.
struct FitError {
  double mean = 0;
  double max = 0;
  int num_points = 0;
};

struct ProfileReport {
  InstanceProfile instance;
  std::vector<ProfilePoint> points;
  int num_left_out = 0;  // points of the grid that no worker of these options could have

  // Of all points, or of those of one kind.
  FitError Error() const;
  FitError PrefillError() const;
  FitError DecodeError() const;
  FitError MixedError() const;
};

// Least squares on the relative errors of the medians, with two regimes of decode batches where
// that makes the error of decoding a fifth smaller.
LatencyCoefficients FitLatency(const std::vector<ProfilePoint>& points);

// Fills in what `report` says of the fit from its points.
void FitReport(ProfileReport* report);

std::string ProfileTable(const ProfileReport& report);

// The instance as in ProfileJson, with "points" and "errors".
nlohmann::ordered_json ProfileReportJson(const ProfileReport& report);

}  // namespace tandem
