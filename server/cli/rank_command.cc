#include "server/cli/rank_command.h"

#include <spawn.h>

#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "engine/core/log.h"
#include "engine/core/status_macros.h"
#include "engine/runner/rank_main.h"
#include "server/cli/process_options.h"
#include "server/cli/signals.h"
#include "server/cli/text_file.h"

extern char** environ;

namespace tandem {

absl::StatusOr<pid_t> StartRankLikeThis(int rank, int fd) {
  ASSIGN_OR_RETURN(const std::string command_line, ReadFile("/proc/self/cmdline"));
  std::vector<std::string> args = absl::StrSplit(command_line, '\0');
  args.back() = absl::StrCat("--rank=", rank);  // each argument ends with a zero
  args.push_back(absl::StrCat("--rank-fd=", fd));
  std::vector<char*> argv;
  argv.reserve(args.size() + 1);
  for (std::string& arg : args) argv.push_back(arg.data());
  argv.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, fd, fd);  // so that exec does not close it
  pid_t pid = 0;
  const int error = posix_spawn(&pid, "/proc/self/exe", &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    return absl::InternalError(absl::StrCat("cannot start rank ", rank, ": ", strerror(error)));
  }
  LOG(INFO) << "started rank=" << rank << " pid=" << pid;
  return pid;
}

absl::Status RunRankCommand(const Config& config) {
  BlockSignals();  // they are the first rank's
  ASSIGN_OR_RETURN(const RunnerOptions options, MakeRunnerOptions(config));
  return RunRank(options, static_cast<int>(config.rank()), static_cast<int>(config.rank_fd()));
}

}  // namespace tandem
