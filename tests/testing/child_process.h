// Child processes of a test: real ones, forked, since tests have neither gRPC nor threads by then.
#pragma once

#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>

#include "engine/core/log.h"

namespace tandem {

// Runs `body` in a child that ends with what it returns. Killed and reaped when it goes out of
// scope.
class ChildProcess {
 public:
  explicit ChildProcess(const std::function<int()>& body) : pid_(fork()) {
    CHECK(pid_ >= 0) << "cannot fork";
    if (pid_ == 0) _exit(body());
  }
  ~ChildProcess() {
    if (pid_ == 0) return;
    kill(pid_, SIGKILL);
    Join();
  }
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  pid_t pid() const { return pid_; }

  // Waits for its end; the exit status, or -1 when it was killed.
  int Join() {
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  bool HasEnded() const {
    siginfo_t info = {};
    waitid(P_PID, pid_, &info, WEXITED | WNOHANG | WNOWAIT);
    return info.si_pid != 0;
  }

 private:
  pid_t pid_;
};

}  // namespace tandem
