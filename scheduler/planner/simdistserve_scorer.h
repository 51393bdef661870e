// Goodput of placements as DistServe's search measures it, with its simulator: over one run of a
// fixed number of requests as it does, or over the steady states of several seeds.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "scheduler/planner/goodput_search.h"
#include "scheduler/planner/placement.h"
#include "scheduler/sim/compat/compat_report.h"
#include "scheduler/sim/compat/compat_workload.h"
#include "scheduler/sim/compat/distserve_profile.h"

namespace tandem {

// Heads and layers of an OPT model by its name ("facebook/opt-66b"). NOT_FOUND for others, with
// those known.
absl::StatusOr<ModelDivisors> FindOptModel(absl::string_view model);

// `placement` of `model` as the simulator takes it. FAILED_PRECONDITION where DistServe cannot run
// it.
absl::StatusOr<DistServeSetup> MakeDistServeSetup(const DistServeProfile& profile,
                                                  const std::string& model,
                                                  const Placement& placement);

// Requests that each rate of a search is tried with.
struct CompatRun {
  std::vector<RequestLengths> lengths;
  std::vector<double> gaps;  // at one request per second
  size_t num_warmup = 0;     // of the first requests, which do not count
};

struct SteadyState {
  int num_seeds = 5;
  int num_requests = 20000;
  int num_warmup = 500;
};

// A run for each of `steady.num_seeds` seeds from `first_seed` on: Poisson arrivals, lengths drawn
// from `pool`. Seeds of both as ResampleLengths and PoissonGaps take them.
std::vector<CompatRun> MakeSteadyStateRuns(absl::Span<const RequestLengths> pool,
                                           const SteadyState& steady, uint32_t first_seed);

struct CompatScorerOptions {
  std::string model;
  CompatSlo slo;
  RateBounds rate_bounds;
};

// Thread-safe. The score is the mean over runs of the goodput that bisection finds for each, with
// its interval. FAILED_PRECONDITION for placements that cannot run, or that a request does not fit.
class SimDistServeScorer {
 public:
  SimDistServeScorer(DistServeProfile profile, CompatScorerOptions options,
                     std::vector<CompatRun> runs);

  absl::StatusOr<GoodputScore> Score(const Placement& placement) const;
  // One phase alone, as Algorithm 1 has it, on instances (colocated placements) of that phase.
  absl::StatusOr<GoodputScore> ScorePrefill(const Placement& placement) const;
  absl::StatusOr<GoodputScore> ScoreDecode(const Placement& placement) const;

 private:
  absl::StatusOr<GoodputScore> ScoreSetup(const DistServeSetup& setup, int num_gpus,
                                          bool has_output) const;

  const DistServeProfile profile_;
  const CompatScorerOptions options_;
  const std::vector<CompatRun> runs_;
};

}  // namespace tandem
