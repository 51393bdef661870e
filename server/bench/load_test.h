// Runs a workload at each of several rates, or at those that a search for the highest one asks for.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "scheduler/sim/rate_search.h"
#include "scheduler/sim/workload.h"
#include "server/bench/load_run.h"
#include "server/bench/run_series.h"

namespace tandem {

struct LoadTestOptions {
  LoadRunOptions run;  // but for max_misses, and the prompts' seed, which differs from run to run
  std::optional<Workload> trace;  // else requests are drawn from the lengths
  LengthDistribution prompt = LengthDistribution::Exactly(512);
  LengthDistribution output = LengthDistribution::Exactly(64);
  bool keeps_trace_times = false;  // scaled to each rate; the trace has arrival times
  double burstiness = 1;           // of the arrivals otherwise
  std::vector<double> rates;       // empty: the trace's own
  int num_requests = 0;            // of each run; 0: as many as come within `duration`
  absl::Duration duration = absl::Seconds(30);
  int num_warmup_requests = 0;
  uint64_t seed = 1;          // of lengths and arrivals
  uint64_t content_seed = 1;  // of prompts
  std::optional<RateSearchOptions> search;
};

// How far the present run is.
struct LoadProgress {
  double rate = 0;
  int num_requests = 0;
  LoadCounts counts;
  absl::Duration elapsed;
};

struct LoadTestObserver {
  // Called ten times a second; false ends the run and all that would follow.
  std::function<bool(const LoadProgress&)> on_progress;
  std::function<void(const RunResult&)> on_run;  // after each run
};

// The requests of a run at `rate` (none: the trace's own). Runs of one `repetition` have the same
// lengths, and patterns of arrival, at every rate. INVALID_ARGUMENT where their number is not given
// by anything.
absl::StatusOr<Workload> MakeRunWorkload(const LoadTestOptions& options, std::optional<double> rate,
                                         int repetition);

// Fills runs and search of `series`, which keeps what there is when the observer ends it. UNKNOWN
// or UNAVAILABLE with the first error when no warm-up request was served.
absl::Status RunLoadTest(const LoadTestOptions& options, const LoadTestObserver& observer,
                         RunSeries& series);

}  // namespace tandem
