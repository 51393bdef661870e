// The options of `tandem simulate` as what the simulator of Tandem's own cluster takes.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/config.pb.h"
#include "scheduler/sim/simulation.h"
#include "scheduler/sim/workload.h"

namespace tandem {

// The cluster, without failures. INVALID_ARGUMENT or NOT_FOUND names the option or file.
absl::StatusOr<SimulationOptions> MakeSimulationOptions(const Config& config);

// Each instance dies at exponential intervals until `length`, if the options say so.
void DrawFailures(const Config& config, absl::Duration length, SimulationOptions* options);

// Without arrivals, unless a trace has them. Errors as MakeSimulationOptions.
absl::StatusOr<Workload> ReadSimulatedWorkload(const Config& config);

// --rates, or the trace's own, or one request per second.
absl::StatusOr<std::vector<double>> ReadSimulatedRates(const Config& config,
                                                       const Workload& workload);

// The workload with arrivals at `rate` requests per second.
Workload AtRate(const Config& config, Workload workload, double rate);

}  // namespace tandem
