// protobuf <-> what the Router and planning know of workers and requests.
#pragma once

#include "absl/status/statusor.h"
#include "proto/scheduler.pb.h"
#include "scheduler/instance_options.h"
#include "scheduler/instance_view.h"
#include "scheduler/route.h"

namespace tandem {

// INVALID_ARGUMENT: there is no such role.
absl::StatusOr<InstanceRole> ToRole(v1::Role role);
v1::Role ToProto(InstanceRole role);

// INVALID_ARGUMENT: its role or the type of its KV is not known.
absl::StatusOr<InstanceView> ToView(const v1::InstanceState& state);

// Those of a worker that does not tell are the defaults.
InstanceOptions ToBudgets(const v1::RegisterRequest& registration);

RouteRequest FromProto(const v1::RouteRequest& request);

v1::WorkerTarget ToTarget(const RouteTarget& target);

}  // namespace tandem
