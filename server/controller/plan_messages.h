// protobuf <-> what planning knows of traffic and decides.
#pragma once

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/scheduler.pb.h"
#include "scheduler/planner/replanner.h"

namespace tandem {

// A request that was routed, as `route` says, or refused.
TrafficRequest ToTraffic(const v1::RouteRequest& request,
                         const absl::StatusOr<v1::RouteResponse>& route, absl::Time now);

TrafficOutcome ToOutcome(const v1::RequestReport& report);

v1::RoleCounts ToProto(const ClusterPlacement& placement);
ClusterPlacement ToPlacement(const v1::RoleCounts& counts);

v1::TrafficReport ToProto(const TrafficSummary& summary);

v1::ServiceReport ToProto(const ServiceLevel& level);

v1::PlanDecision ToProto(const ReplanDecision& decision);

}  // namespace tandem
