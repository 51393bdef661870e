// The goodput of a placement of Tandem's own: the highest rate at which the simulated cluster,
// which is made of the production router and schedulers, serves within the targets.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "scheduler/planner/confidence_interval.h"
#include "scheduler/sim/rate_search.h"
#include "scheduler/sim/simulation.h"
#include "scheduler/sim/slo_report.h"
#include "scheduler/sim/workload.h"

namespace tandem {

struct ClusterScore {
  MeanInterval rate;                      // requests per second; 0: no rate holds
  std::vector<double> samples;            // one per seed
  std::vector<absl::Duration> mean_ttft;  // at each of them, of those that were served
  // At the lowest rates known not to hold: shares of the requests that missed a target, and that
  // were not served.
  double ttft_missed = 0;
  double tpot_missed = 0;
  double unserved = 0;
  int64_t num_simulations = 0;
};

struct ClusterScorerOptions {
  SloTargets targets;
  RateSearchOptions search;  // target, first rate and tolerance count
  int num_seeds = 1;
  int num_warmup = 0;  // requests at a run's begin that do not count
  // The workload of a seed (from 0 on) at a rate.
  std::function<Workload(double rate, int seed)> make_workload;
};

// Of `cluster` without failures. Errors as ClusterSimulator; INTERNAL: the simulation lost
// something.
absl::StatusOr<ClusterScore> ScoreCluster(const SimulationOptions& cluster,
                                          const ClusterScorerOptions& options);

}  // namespace tandem
