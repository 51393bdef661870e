// The processes of an instance's ranks other than the first.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tandem {

// Starts a child process that calls RunRank for `rank`, with the instance's memory behind the
// inherited descriptor `fd`, and returns its process id.
using StartRank = std::function<absl::StatusOr<pid_t>(int rank, int fd)>;

// Thread-safe once started. The children are ended with it, and by the kernel with the thread that
// started them.
class RankProcesses {
 public:
  // Ranks 1 to num_ranks - 1. Errors are those of `start`.
  static absl::StatusOr<std::unique_ptr<RankProcesses>> Start(int num_ranks, int fd,
                                                              const StartRank& start);
  ~RankProcesses();

  // UNAVAILABLE names the first that has ended, and how. It is left to be reaped by the destructor.
  absl::Status Check() const;

 private:
  RankProcesses() = default;

  std::vector<pid_t> pids_;  // of ranks 1.., fixed once started
};

}  // namespace tandem
