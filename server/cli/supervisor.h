// Starts the worker processes of `tandem serve`, starts those that die again, ends them with us.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace tandem {

// Owner thread only. Children are started with posix_spawn (gRPC does not survive fork) in process
// groups of their own, so that Ctrl-C reaches only us.
class Supervisor {
 public:
  // `executable` is run with each child's arguments.
  explicit Supervisor(std::string executable);
  ~Supervisor();  // Kills what still runs.

  // INTERNAL when the process cannot be started.
  absl::Status Start(const std::string& name, std::vector<std::string> args, absl::Time now);

  // Call after SIGCHLD and when NextRestart() has come: reaps the dead and starts them again, at
  // once the first time and with growing pauses when they die soon. INVALID_ARGUMENT when a child
  // says that its input can never work (kExitRefused); it is not started again.
  absl::Status Tend(absl::Time now);

  // When the next dead child is due to be started; InfiniteFuture when none is.
  absl::Time NextRestart() const;

  // Sends SIGTERM to all and starts none again.
  void Terminate();
  // SIGKILL and reap.
  void Kill();
  bool AnyRunning() const;

 private:
  struct Child {
    std::string name;
    std::vector<std::string> args;
    pid_t pid = 0;  // 0: not running
    absl::Time started;
    absl::Time restart_at = absl::InfiniteFuture();
    absl::Duration pause = absl::ZeroDuration();
  };

  absl::Status Spawn(Child& child, absl::Time now);
  absl::Status OnExit(Child& child, int wait_status, absl::Time now);

  const std::string executable_;
  std::vector<Child> children_;
  bool terminating_ = false;
};

}  // namespace tandem
