// Answers what another placement, or other targets, would have made of the recent traffic.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "proto/scheduler.pb.h"
#include "scheduler/planner/planned_instance.h"
#include "scheduler/planner/traffic_profile.h"
#include "scheduler/planner/traffic_replay.h"

namespace tandem {

// INVALID_ARGUMENT names the field that makes no sense.
absl::Status CheckWhatIf(const v1::WhatIfRequest& request);

// Simulates `window` on `instances` as they are and as `request`, which has been checked, wants
// them, which may take seconds. `options` has the targets of requests that name none.
// FAILED_PRECONDITION: there is no traffic, no cluster that serves, or workers have not made enough
// steps to tell how long they take.
absl::StatusOr<v1::WhatIfResponse> AnswerWhatIf(const v1::WhatIfRequest& request,
                                                const TrafficWindow& window,
                                                std::vector<PlannedInstance> instances,
                                                ReplayOptions options);

}  // namespace tandem
