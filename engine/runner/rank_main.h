// What the processes of an instance's other ranks do.
#pragma once

#include "absl/status/status.h"
#include "engine/runner/model_runner.h"

namespace tandem {

// Loads the rank's part of the model and computes the steps that the first rank sends, until the
// process is killed, which it is with the thread that started it. `fd`: see StartRank; `options`
// are those of the first rank, with this rank's cores. Returns only errors.
absl::Status RunRank(const RunnerOptions& options, int rank, int fd);

}  // namespace tandem
