// Signals as values: blocked in every thread and taken by the one that waits for them.
#pragma once

#include <csignal>

#include "absl/time/time.h"

namespace tandem {

// Exit status of a process whose input can never work (a bad model file, a bad option): a
// supervisor does not start it again.
constexpr int kExitRefused = 3;

// Blocks SIGINT, SIGTERM and SIGCHLD in this thread and in all it starts, and ignores SIGPIPE. Call
// first in a subcommand, before any thread exists.
void BlockSignals();

// Waits for one of the blocked signals and returns it; 0 when `timeout` passes first.
int WaitForSignal(absl::Duration timeout = absl::InfiniteDuration());

}  // namespace tandem
