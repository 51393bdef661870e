// Further ranks of an instance: processes with the command line of its first rank.
#pragma once

#include <sys/types.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/config.pb.h"

namespace tandem {

// A StartRank: runs this process's own command line again as `rank`. INTERNAL when it cannot be
// started.
absl::StatusOr<pid_t> StartRankLikeThis(int rank, int fd);

// What such a process does instead of its subcommand, until it is killed with the first rank.
// Returns only errors.
absl::Status RunRankCommand(const Config& config);

}  // namespace tandem
