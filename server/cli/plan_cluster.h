// tandem plan without --compat: which of Tandem's own placements serves most on so many devices.
#pragma once

#include "absl/status/status.h"
#include "proto/config.pb.h"

namespace tandem {

// Prints all placements, best first, with the rate that each serves and what keeps it from more,
// and how to start the best. INVALID_ARGUMENT or NOT_FOUND names the option or file.
absl::Status RunClusterPlan(const Config& config);

}  // namespace tandem
