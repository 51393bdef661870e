#include "scheduler/sim/compat/compat_report.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <utility>

#include "engine/core/log.h"
#include "engine/core/status_macros.h"

namespace tandem {
namespace {

LatencySummary Summarize(const std::vector<double>& values) {
  if (values.empty()) return {};
  LatencySummary summary;
  summary.mean =
      std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  summary.p50 = Percentile(values, 50);
  summary.p90 = Percentile(values, 90);
  summary.p99 = Percentile(values, 99);
  return summary;
}

struct Latencies {
  std::vector<double> ttft;
  std::vector<double> tpot;
};

Latencies LatenciesOf(absl::Span<const CompatRequest> requests, absl::Span<const CompatTimes> times,
                      size_t num_warmup) {
  Latencies latencies;
  for (size_t i = num_warmup; i < requests.size(); ++i) {
    latencies.ttft.push_back(times[i].first_token_ms - requests[i].arrival_ms);
    latencies.tpot.push_back(CompatTpot(requests[i], times[i]));
  }
  return latencies;
}

bool MeetsSlo(const Latencies& latencies, const CompatSlo& slo) {
  return Percentile(latencies.ttft, slo.ttft_percentile) < slo.ttft_ms &&
         Percentile(latencies.tpot, slo.tpot_percentile) < slo.tpot_ms;
}

// Rank, from 0, of the lower of the two values that a percentile lies between.
size_t LowerRank(size_t num_values, double percent) {
  return static_cast<size_t>(percent / 100.0 * static_cast<double>(num_values - 1));
}

}  // namespace

double Percentile(std::vector<double> values, double percent) {
  if (values.empty()) return 0;
  const size_t rank = LowerRank(values.size(), percent);
  const auto lower = values.begin() + static_cast<std::ptrdiff_t>(rank);
  std::nth_element(values.begin(), lower, values.end());
  if (rank + 1 == values.size()) return *lower;
  const double upper = *std::min_element(lower + 1, values.end());
  const double fraction =
      percent / 100.0 * static_cast<double>(values.size() - 1) - static_cast<double>(rank);
  return *lower + (upper - *lower) * fraction;
}

CompatReport MakeCompatReport(absl::Span<const CompatRequest> requests,
                              absl::Span<const CompatTimes> times, const CompatSlo& slo,
                              size_t num_warmup) {
  CHECK(requests.size() == times.size());
  CompatReport report;
  const Latencies latencies = LatenciesOf(requests, times, num_warmup);
  report.ttft = Summarize(latencies.ttft);
  report.tpot = Summarize(latencies.tpot);
  size_t num_met = 0;
  for (size_t i = 0; i < latencies.ttft.size(); ++i) {
    num_met += latencies.ttft[i] <= slo.ttft_ms && latencies.tpot[i] <= slo.tpot_ms;
  }
  if (!latencies.ttft.empty()) {
    report.attainment = static_cast<double>(num_met) / static_cast<double>(latencies.ttft.size());
  }
  report.meets_slo = MeetsSlo(latencies, slo);
  for (const CompatTimes& time : times) {
    report.makespan_ms = std::max(report.makespan_ms, time.exit_ms);
  }
  return report;
}

absl::StatusOr<bool> MeetsCompatSlo(const DistServeSetup& setup,
                                    absl::Span<const CompatRequest> requests, const CompatSlo& slo,
                                    size_t num_warmup) {
  CHECK(num_warmup < requests.size());
  // With more misses than this even the lower of a percentile's two values is one.
  const size_t num_counted = requests.size() - num_warmup;
  const MissBudget budget = {
      .ttft_ms = slo.ttft_ms,
      .tpot_ms = slo.tpot_ms,
      .max_ttft_misses = num_counted - LowerRank(num_counted, slo.ttft_percentile) - 1,
      .max_tpot_misses = num_counted - LowerRank(num_counted, slo.tpot_percentile) - 1,
      .first_request = num_warmup};
  ASSIGN_OR_RETURN(const std::optional<std::vector<CompatTimes>> times,
                   SimulateDistServeWithin(setup, requests, budget));
  return times.has_value() && MeetsSlo(LatenciesOf(requests, *times, num_warmup), slo);
}

}  // namespace tandem
