// What a placement would have made of recent traffic: its arrivals, lengths and shared prefixes,
// replayed on a simulated cluster of the production router and schedulers.
#pragma once

#include <optional>
#include <stop_token>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "scheduler/planner/planned_instance.h"
#include "scheduler/planner/traffic_profile.h"
#include "scheduler/sim/samples.h"
#include "scheduler/sim/slo_report.h"

namespace tandem {

struct ReplayOptions {
  SloTargets default_targets;                              // of requests that name none
  std::optional<SloTargets> targets;                       // of all instead of their own
  double rate_scale = 1;                                   // arrivals so many times as fast
  double kv_bytes_per_second = 1e9;                        // of each instance's link
  absl::Duration network_delay = absl::Milliseconds(0.2);  // of a message, one way
  std::stop_token stop;                                    // ends the simulation early
};

struct ServiceLevel {
  int num_requests = 0;
  int num_unserved = 0;
  int num_good = 0;          // served within their targets
  double attainment = 1;     // num_good / num_requests; 1 without requests
  double goodput = 0;        // good requests per second
  Samples ttft_ms, tpot_ms;  // of served ones; TPOT of more than a token
};

// Whether any request of the window has a target.
bool HasTargets(const TrafficWindow& window, const ReplayOptions& options);

// What the clients have seen. Only what has ended counts, and not what clients gave up.
ServiceLevel Measure(const TrafficWindow& window, const ReplayOptions& options);

// What they would have seen of `instances` in their roles, all of which know their latencies
// (ShareLatencies). The first tenth of the requests finds the cluster empty and is not counted.
// Answers that are not known yet are as long as the others in the mean, and within their limit.
// Answers are of other tokens than they were: a next turn that would find them cached does not.
// INVALID_ARGUMENT: instances that make no sense; CANCELLED: it was asked to stop. The same input
// gives the same result.
absl::StatusOr<ServiceLevel> Replay(absl::Span<const PlannedInstance> instances,
                                    const TrafficWindow& window, const ReplayOptions& options);

}  // namespace tandem
