// Whether traffic has changed: its rate, lengths and cache hits with how sure they are, and the
// comparison of two times.
#pragma once

#include <string>
#include <vector>

#include "scheduler/planner/traffic_profile.h"

namespace tandem {

// A positive number with its standard error, as a share of it.
struct Estimate {
  double mean = 0;
  double relative_error = 0;
};

struct TrafficSummary {
  absl::Duration length;
  int num_requests = 0;
  int num_ended = 0;       // served, the last two are of these
  Estimate rate;           // requests per second; its error from the gaps, which may come in bursts
  Estimate prompt_tokens;  // per request
  Estimate output_tokens;
  Estimate uncached_share;  // of prompt tokens, at least kLeastUncachedShare

  // Below that, prefill is next to nothing, however much less of it there is.
  static constexpr double kLeastUncachedShare = 0.05;
};

TrafficSummary Summarize(const TrafficWindow& window);

struct ShiftOptions {
  // A quantity has shifted once it is surely more than this many times as large, or small.
  double ratio = 1.3;
  // Standard errors that are left out of the difference. 3: by chance once in 700 times, and only
  // where the true ratio is at the limit.
  double confidence = 3;
};

bool HasShifted(const Estimate& from, const Estimate& to, const ShiftOptions& options);

// What has shifted, such as "rate 4.1 -> 8.3 requests/s". Empty: nothing. Lengths of answers and
// hits are left out where either side has none.
std::vector<std::string> FindShifts(const TrafficSummary& from, const TrafficSummary& to,
                                    const ShiftOptions& options);

}  // namespace tandem
