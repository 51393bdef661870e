#include "scheduler/planner/traffic_shift.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_format.h"

namespace tandem {
namespace {

// The ratio of two sums, the error as of a ratio estimator. Zero without pairs.
Estimate EstimateRatio(const std::vector<double>& above, const std::vector<double>& below) {
  double sum_above = 0, sum_below = 0;
  for (const double value : above) sum_above += value;
  for (const double value : below) sum_below += value;
  if (sum_below <= 0 || sum_above <= 0) return {};
  const double ratio = sum_above / sum_below;
  double squares = 0;
  for (size_t i = 0; i < above.size(); ++i) {
    squares += (above[i] - ratio * below[i]) * (above[i] - ratio * below[i]);
  }
  return {.mean = ratio, .relative_error = std::sqrt(squares) / sum_above};
}

Estimate EstimateMean(const std::vector<double>& values) {
  return EstimateRatio(values, std::vector<double>(values.size(), 1));
}

// The variance of a count is that of the gaps, relative to their mean, times the count (a renewal
// process).
Estimate EstimateRate(const TrafficWindow& window) {
  const auto num_requests = static_cast<double>(window.requests.size());
  const double seconds = absl::ToDoubleSeconds(window.Length());
  if (seconds <= 0 || num_requests == 0) return {};
  std::vector<double> gaps;
  for (size_t i = 1; i < window.requests.size(); ++i) {
    gaps.push_back(
        absl::ToDoubleSeconds(window.requests[i].arrival - window.requests[i - 1].arrival));
  }
  return {.mean = num_requests / seconds,
          .relative_error = gaps.size() > 1 ? EstimateMean(gaps).relative_error : 1};
}

struct Quantity {
  const char* name;
  const char* unit;
  Estimate TrafficSummary::*estimate;
};
constexpr Quantity kQuantities[] = {
    {"rate", " requests/s", &TrafficSummary::rate},
    {"prompts", " tokens", &TrafficSummary::prompt_tokens},
    {"answers", " tokens", &TrafficSummary::output_tokens},
    {"prompt tokens without a cache hit", "", &TrafficSummary::uncached_share},
};

}  // namespace

TrafficSummary Summarize(const TrafficWindow& window) {
  TrafficSummary summary{.length = window.Length(),
                         .num_requests = static_cast<int>(window.requests.size()),
                         .rate = EstimateRate(window)};
  std::vector<double> prompts, answers, ended_prompts, uncached;
  for (const TrafficRequest& request : window.requests) {
    prompts.push_back(request.prompt_tokens);
    if (request.outcome.kind != TrafficOutcome::Kind::kServed) continue;
    answers.push_back(request.outcome.output_tokens);
    ended_prompts.push_back(request.prompt_tokens);
    uncached.push_back(request.prompt_tokens - request.outcome.cached_tokens);
  }
  summary.num_ended = static_cast<int>(answers.size());
  summary.prompt_tokens = EstimateMean(prompts);
  summary.output_tokens = EstimateMean(answers);
  summary.uncached_share = EstimateRatio(uncached, ended_prompts);
  if (summary.num_ended > 0) {
    summary.uncached_share.mean =
        std::max(summary.uncached_share.mean, TrafficSummary::kLeastUncachedShare);
  }
  return summary;
}

bool HasShifted(const Estimate& from, const Estimate& to, const ShiftOptions& options) {
  if (from.mean <= 0 || to.mean <= 0) return false;
  const double error = std::hypot(from.relative_error, to.relative_error);
  return std::abs(std::log(to.mean / from.mean)) - options.confidence * error >
         std::log(options.ratio);
}

std::vector<std::string> FindShifts(const TrafficSummary& from, const TrafficSummary& to,
                                    const ShiftOptions& options) {
  std::vector<std::string> shifts;
  for (const Quantity& quantity : kQuantities) {
    const Estimate& a = from.*quantity.estimate;
    const Estimate& b = to.*quantity.estimate;
    if (!HasShifted(a, b, options)) continue;
    shifts.push_back(
        absl::StrFormat("%s %.3g -> %.3g%s", quantity.name, a.mean, b.mean, quantity.unit));
  }
  return shifts;
}

}  // namespace tandem
