// tandem simulate without --compat: Tandem's own schedulers under simulated load.
#pragma once

#include "absl/status/status.h"
#include "proto/config.pb.h"

namespace tandem {

// Prints a table or JSON of a run for each of --rates. INVALID_ARGUMENT or NOT_FOUND names the
// option or file.
absl::Status RunClusterSimulation(const Config& config);

}  // namespace tandem
