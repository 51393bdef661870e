#include "server/cli/supervisor.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "engine/core/log.h"
#include "engine/core/status_macros.h"
#include "server/cli/signals.h"

extern char** environ;

namespace tandem {
namespace {

// A child that lived this long did not die of its start.
constexpr absl::Duration kSettled = absl::Seconds(30);
constexpr absl::Duration kFirstPause = absl::Milliseconds(500);
constexpr absl::Duration kLongestPause = absl::Seconds(30);

std::string DescribeExit(int wait_status) {
  if (WIFSIGNALED(wait_status)) {
    return absl::StrCat("was killed by signal ", WTERMSIG(wait_status), " (",
                        strsignal(WTERMSIG(wait_status)), ")");
  }
  return absl::StrCat("exited with status ", WEXITSTATUS(wait_status));
}

}  // namespace

Supervisor::Supervisor(std::string executable) : executable_(std::move(executable)) {}

Supervisor::~Supervisor() { Kill(); }

absl::Status Supervisor::Start(const std::string& name, std::vector<std::string> args,
                               absl::Time now) {
  children_.push_back({.name = name, .args = std::move(args)});
  return Spawn(children_.back(), now);
}

absl::Status Supervisor::Spawn(Child& child, absl::Time now) {
  std::vector<char*> argv = {const_cast<char*>(executable_.c_str())};
  for (const std::string& arg : child.args) argv.push_back(const_cast<char*>(arg.c_str()));
  argv.push_back(nullptr);

  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
  // Nor our sockets: whom we listen to and talk with would not notice that we have ended.
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
  pid_t pid = 0;
  const int error =
      posix_spawn(&pid, executable_.c_str(), &actions, &attributes, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) {
    return absl::InternalError(
        absl::StrCat("cannot start ", child.name, " (", executable_, "): ", strerror(error)));
  }
  child.pid = pid;
  child.started = now;
  child.restart_at = absl::InfiniteFuture();
  LOG(INFO) << "started instance=" << child.name << " pid=" << pid;
  return absl::OkStatus();
}

absl::Status Supervisor::OnExit(Child& child, int wait_status, absl::Time now) {
  child.pid = 0;
  if (terminating_) return absl::OkStatus();
  if (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == kExitRefused) {
    return absl::InvalidArgumentError(
        absl::StrCat(child.name, " cannot start; see its message above"));
  }
  const bool settled = now - child.started >= kSettled;
  child.restart_at = now + (settled ? absl::ZeroDuration() : child.pause);
  child.pause =
      settled ? kFirstPause : std::min(kLongestPause, std::max(kFirstPause, child.pause * 2));
  const absl::Duration pause = child.restart_at - now;
  LOG(WARNING) << "instance=" << child.name << " " << DescribeExit(wait_status)
               << "; starting it again "
               << (pause > absl::ZeroDuration() ? absl::StrCat("in ", absl::FormatDuration(pause))
                                                : std::string("at once"));
  return absl::OkStatus();
}

absl::Status Supervisor::Tend(absl::Time now) {
  for (Child& child : children_) {
    int wait_status = 0;
    if (child.pid != 0 && waitpid(child.pid, &wait_status, WNOHANG) == child.pid) {
      RETURN_IF_ERROR(OnExit(child, wait_status, now));
    }
    if (child.pid == 0 && !terminating_ && child.restart_at <= now) {
      RETURN_IF_ERROR(Spawn(child, now));
    }
  }
  return absl::OkStatus();
}

absl::Time Supervisor::NextRestart() const {
  absl::Time next = absl::InfiniteFuture();
  for (const Child& child : children_) {
    if (child.pid == 0) next = std::min(next, child.restart_at);
  }
  return next;
}

void Supervisor::Terminate() {
  terminating_ = true;
  for (const Child& child : children_) {
    if (child.pid != 0) kill(child.pid, SIGTERM);
  }
}

void Supervisor::Kill() {
  terminating_ = true;
  for (Child& child : children_) {
    if (child.pid == 0) continue;
    kill(child.pid, SIGKILL);
    waitpid(child.pid, nullptr, 0);
    child.pid = 0;
  }
}

bool Supervisor::AnyRunning() const {
  return std::any_of(children_.begin(), children_.end(),
                     [](const Child& child) { return child.pid != 0; });
}

}  // namespace tandem
