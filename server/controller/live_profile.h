// What a running cluster has learnt of its own times, as the file that `tandem profile` writes.
#pragma once

#include "absl/status/statusor.h"
#include "proto/scheduler.pb.h"
#include "scheduler/sim/profile.h"

namespace tandem {

// One instance for each (TP, PP, threads) of the workers of `cluster`: prompts take as long as on
// the one that has made most steps with them, decoding likewise; steps are those of all. Without
// what no worker of the kind has a role for and has not learnt. FAILED_PRECONDITION names the kind
// of worker that has not made enough steps yet, and how many of each it has.
absl::StatusOr<Profile> LiveProfile(const v1::ClusterState& cluster, const v1::RequestPath* path);

}  // namespace tandem
