// Options of `simulate --compat` and `plan --compat` -> what the compat simulator takes.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proto/config.pb.h"
#include "scheduler/sim/compat/compat_report.h"
#include "scheduler/sim/compat/compat_workload.h"
#include "scheduler/sim/compat/distserve_profile.h"

namespace tandem {

// From --profile and --kv-capacity, for --model. INVALID_ARGUMENT or NOT_FOUND names the option
// or file.
absl::StatusOr<DistServeProfile> LoadCompatProfile(const Config& config);

// From --goodput and the percentiles. INVALID_ARGUMENT without both targets.
absl::StatusOr<CompatSlo> ParseCompatSlo(const Config& config);

// All of --lengths, or `num_synthetic` of --synthetic-lengths.
absl::StatusOr<std::vector<RequestLengths>> LoadCompatLengths(const Config& config,
                                                              int num_synthetic);

// --requests, by default as many as DistServe's search takes.
int NumCompatRequests(const Config& config);

// The first NumCompatRequests of them. INVALID_ARGUMENT where the file has fewer.
absl::StatusOr<std::vector<RequestLengths>> LoadFirstCompatLengths(const Config& config);

}  // namespace tandem
