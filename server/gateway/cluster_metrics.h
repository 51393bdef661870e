// The workers' statistics, as the scheduler passes them on, as Prometheus metrics.
#pragma once

#include <vector>

#include "prometheus/metric_family.h"
#include "proto/scheduler.pb.h"

namespace tandem {

// Labels: instance_id and role; blocks also by ledger state. A worker that has gone is not in
// `cluster`, and so not in the result.
std::vector<prometheus::MetricFamily> ClusterMetrics(const v1::ClusterState& cluster);

// "prefill", "decode", "mixed" or "unknown".
const char* RoleName(v1::Role role);

}  // namespace tandem
