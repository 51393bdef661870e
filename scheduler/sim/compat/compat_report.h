// What simdistserve reports of a run: latency percentiles, attainment, and the verdict that its
// search goes by.
#pragma once

#include <vector>

#include "absl/types/span.h"
#include "scheduler/sim/compat/distserve_simulator.h"

namespace tandem {

// Targets in ms, and the percentiles that the verdict holds against them.
struct CompatSlo {
  double ttft_ms = 200;
  double tpot_ms = 100;
  double ttft_percentile = 90;
  double tpot_percentile = 90;
};

struct LatencySummary {  // ms
  double mean = 0;
  double p50 = 0;
  double p90 = 0;
  double p99 = 0;
};

struct CompatReport {
  LatencySummary ttft;
  LatencySummary tpot;
  double attainment = 0;   // share of requests with TTFT <= target and TPOT <= target, jointly
  bool meets_slo = false;  // each percentile below its target, separately and strictly
  double makespan_ms = 0;  // last exit
};

// Report of `requests` and their `times`; the first `num_warmup` requests count in the makespan
// only.
CompatReport MakeCompatReport(absl::Span<const CompatRequest> requests,
                              absl::Span<const CompatTimes> times, const CompatSlo& slo,
                              size_t num_warmup = 0);

// The `percent`-th percentile, by linear interpolation between the two values around it. 0 of none.
double Percentile(std::vector<double> values, double percent);

// Whether `setup` meets `slo` under `requests`, without running on once it cannot.
absl::StatusOr<bool> MeetsCompatSlo(const DistServeSetup& setup,
                                    absl::Span<const CompatRequest> requests, const CompatSlo& slo,
                                    size_t num_warmup = 0);

}  // namespace tandem
