// The options of `tandem simulate` and `tandem plan` as what the simulator of Tandem's own cluster
// takes.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/config.pb.h"
#include "scheduler/planner/cluster_placement.h"
#include "scheduler/sim/profile.h"
#include "scheduler/sim/simulation.h"
#include "scheduler/sim/workload.h"

namespace tandem {

// That of --profile. INVALID_ARGUMENT or NOT_FOUND names the option or file.
absl::StatusOr<Profile> ReadProfile(const Config& config);

// --prefill, --decode, --mixed and --placement.
absl::StatusOr<ClusterPlacement> ParseCluster(const Config& config);

// `cluster` without failures. NOT_FOUND: the profile lacks one of its shapes; FAILED_PRECONDITION:
// what was measured of it lacks a phase.
absl::StatusOr<SimulationOptions> MakeSimulationOptions(const Config& config,
                                                        const Profile& profile,
                                                        const ClusterPlacement& cluster);

// Each instance dies at exponential intervals until `length`, if the options say so.
void DrawFailures(const Config& config, absl::Duration length, SimulationOptions* options);

// --requests of them, without arrivals unless a trace has them. Errors as ReadProfile.
absl::StatusOr<Workload> ReadSimulatedWorkload(const Config& config);

// --rates, or the trace's own, or one request per second.
absl::StatusOr<std::vector<double>> ReadSimulatedRates(const Config& config,
                                                       const Workload& workload);

// The workload with arrivals at `rate` requests per second.
Workload AtRate(const Config& config, Workload workload, double rate);

}  // namespace tandem
