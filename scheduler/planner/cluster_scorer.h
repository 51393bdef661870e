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

// Where the search for a rate begins.
struct RateGuess {
  double rate = 1;        // requests per second, tried first
  double step = 2;        // the factor to the next one
  bool is_least = false;  // what does not serve this is not searched further
  // SeedScore::fall of a similar situation, whose rate `rate` is: the search then takes the fewest
  // runs. 0: there is none.
  double fall = 0;
};

// What the workload of one seed has shown.
struct SeedScore {
  // Requests per second: where attainment passes its target, between the highest rate that holds
  // and the lowest that does not. 0: none holds, or not the least one.
  double rate = 0;
  double failing = 0;        // the lowest rate known not to hold; infinite: all do
  double fall = 0;           // of attainment at `rate`, by the rate's logarithm; 0: not known
  absl::Duration mean_ttft;  // at `rate`, of those that were served
  // Just above it: shares of the requests that missed a target, and that were not served.
  double ttft_missed = 0;
  double tpot_missed = 0;
  double unserved = 0;
  int num_simulations = 0;
};

// The same of several seeds.
struct ClusterScore {
  MeanInterval rate;
  std::vector<double> samples;            // one per seed, in their order
  std::vector<double> falls;              // the same
  std::vector<absl::Duration> mean_ttft;  // the same
  double ttft_missed = 0, tpot_missed = 0, unserved = 0;
};

struct ClusterScorerOptions {
  SloTargets targets;
  RateSearchOptions search;  // target, tolerance and bounds count
  int num_warmup = 0;        // requests at a run's begin that do not count
  // The workload of a seed (from 0 on) at a rate.
  std::function<Workload(double rate, int seed)> make_workload;
};

// Of `cluster` without failures. A run ends as soon as its misses have decided it. Errors as
// ClusterSimulator; INTERNAL: the simulation lost something.
absl::StatusOr<SeedScore> ScoreSeed(const SimulationOptions& cluster,
                                    const ClusterScorerOptions& options, int seed,
                                    const RateGuess& guess);

// `seeds` is not empty.
ClusterScore Combine(const std::vector<SeedScore>& seeds);

}  // namespace tandem
