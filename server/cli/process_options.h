// Config -> the plain structs that the processes are made from.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "proto/config.pb.h"
#include "server/controller/controller.h"
#include "server/gateway/gateway.h"
#include "server/worker/worker.h"

namespace tandem {

// All but the scheduler's channel. Errors of ReadFile for a chat template.
absl::StatusOr<GatewayOptions> MakeGatewayOptions(const Config& config);

// All but host and port. INVALID_ARGUMENT names a target that makes no sense.
absl::StatusOr<ControllerOptions> MakeControllerOptions(const Config& config);

// INVALID_ARGUMENT names the options of workers that contradict each other.
absl::Status CheckWorkerLimits(const Config& config);

// What an engine is made from: model, kernels, KV pool, token budget, ranks. INVALID_ARGUMENT names
// the option that cannot be, and what could, where an instance has more ranks than cores.
absl::StatusOr<RunnerOptions> MakeRunnerOptions(const Config& config);

// The same for the model's part: INVALID_ARGUMENT when its heads, layers or blocks cannot be shared
// out to the ranks that `config` asks for.
absl::Status CheckModelFitsRanks(const Config& config);

// INVALID_ARGUMENT names the option that cannot be.
absl::StatusOr<WorkerOptions> MakeWorkerOptions(const Config& config);

}  // namespace tandem
