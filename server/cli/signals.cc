#include "server/cli/signals.h"

#include <cerrno>

namespace tandem {
namespace {

sigset_t BlockedSet() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGCHLD);
  return set;
}

}  // namespace

void BlockSignals() {
  const sigset_t set = BlockedSet();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

int WaitForSignal(absl::Duration timeout) {
  const sigset_t set = BlockedSet();
  const timespec limit = absl::ToTimespec(timeout);
  while (true) {
    const int signal = timeout == absl::InfiniteDuration() ? sigwaitinfo(&set, nullptr)
                                                           : sigtimedwait(&set, nullptr, &limit);
    if (signal > 0) return signal;
    if (errno != EINTR) return 0;
  }
}

}  // namespace tandem
