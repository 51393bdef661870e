// tandem plan --theory: queueing theory of prefill instead of a search.
#pragma once

#include "absl/status/status.h"
#include "proto/config.pb.h"

namespace tandem {

// Mean TTFT of one device and of two in each kind of parallelism, at each of --rates, by formula
// and, with --theory-requests, simulated; and the load above which stages beat split layers.
absl::Status RunTheory(const Config& config);

}  // namespace tandem
