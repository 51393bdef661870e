// The subcommands of the tandem binary, one file each.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "proto/config.pb.h"

namespace tandem {

// Runs `args` (subcommand first) and returns the process's exit status: 0, 1 for an error (one line
// on stderr), 2 for a command line that was not understood.
int RunCommand(const std::vector<std::string>& args);

// Each runs until it has finished or the process is told to end (SIGINT, SIGTERM), then returns.
absl::Status RunServe(const Config& config);
absl::Status RunGateway(const Config& config);
absl::Status RunScheduler(const Config& config);
absl::Status RunWorker(const Config& config);
absl::Status RunChat(const Config& config);
absl::Status RunEval(const Config& config);
absl::Status RunBenchEngine(const Config& config);
absl::Status RunProfile(const Config& config);
absl::Status RunSimulate(const Config& config);
absl::Status RunPlan(const Config& config);
absl::Status RunQuantize(const Config& config);
absl::Status RunBench(const Config& config);
absl::Status RunReplay(const Config& config);

// "0.1.0".
const char* TandemVersion();

}  // namespace tandem
