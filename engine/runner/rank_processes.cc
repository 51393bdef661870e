#include "engine/runner/rank_processes.h"

#include <sys/wait.h>

#include <csignal>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"

namespace tandem {
namespace {

std::string DescribeEnd(const siginfo_t& info) {
  if (info.si_code == CLD_EXITED) return absl::StrCat("exited with status ", info.si_status);
  return absl::StrCat("was killed by signal ", info.si_status, " (", strsignal(info.si_status),
                      ")");
}

}  // namespace

absl::StatusOr<std::unique_ptr<RankProcesses>> RankProcesses::Start(int num_ranks, int fd,
                                                                    const StartRank& start) {
  std::unique_ptr<RankProcesses> processes(new RankProcesses());
  for (int rank = 1; rank < num_ranks; ++rank) {
    ASSIGN_OR_RETURN(const pid_t pid, start(rank, fd));
    processes->pids_.push_back(pid);
  }
  return processes;
}

RankProcesses::~RankProcesses() {
  // They keep nothing that would be lost.
  for (const pid_t pid : pids_) kill(pid, SIGKILL);
  for (const pid_t pid : pids_) waitpid(pid, nullptr, 0);
}

absl::Status RankProcesses::Check() const {
  for (size_t i = 0; i < pids_.size(); ++i) {
    siginfo_t info = {};
    if (waitid(P_PID, pids_[i], &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0) {
      continue;
    }
    return absl::UnavailableError(
        absl::StrCat("rank ", i + 1, " (process ", pids_[i], ") ", DescribeEnd(info)));
  }
  return absl::OkStatus();
}

}  // namespace tandem
