// The JSON of planning: plans, what-if questions and their answers.
#pragma once

#include "absl/status/statusor.h"
#include "proto/scheduler.pb.h"
#include "server/gateway/json_fields.h"

namespace tandem {

Json PlanJson(const v1::Plan& plan);

// {"placement": {"prefill": 1, "decode": 2, "mixed": 0}, "slo": {"ttft_ms": 400, "tpot_ms": 40},
// "minutes": 5, "rate_scale": 1}, all of it optional. INVALID_ARGUMENT names the field, also one
// that is not known.
absl::StatusOr<v1::WhatIfRequest> ParseWhatIf(const Json& body);

Json WhatIfJson(const v1::WhatIfResponse& answer);

}  // namespace tandem
