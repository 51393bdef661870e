// Plays an event log on a new scheduler and compares every line that this writes with the log's.
//
//   LogReplay replay;
//   for (const std::string& line : lines) RETURN_IF_ERROR(replay.Play(line));
//   if (replay.report().difference) ...
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "scheduler/replay/call_player.h"
#include "scheduler/replay/log_statistics.h"

namespace tandem {

struct ReplayReport {
  std::string kind;       // "instance" or "router"; empty before the first line
  int64_t num_calls = 0;  // in the log, and the decisions in them
  int64_t num_decisions = 0;
  int64_t num_equal_calls = 0;  // played with the logged outcome, byte for byte
  int64_t num_equal_decisions = 0;
  LogStatistics statistics;

  // The first call whose outcome is another one. What follows it is not played: the two are in
  // different states from there on.
  struct Difference {
    int64_t line = 0;  // counted from 1
    std::string logged;
    std::string replayed;  // empty: nothing came of it
  };
  std::optional<Difference> difference;
};

// One log; one thread.
class LogReplay {
 public:
  // The next line, without its newline. DATA_LOSS names the line and what is wrong with it, when it
  // is none that a scheduler of this build writes; nothing may be played after that.
  absl::Status Play(absl::string_view line);

  const ReplayReport& report() const { return report_; }

 private:
  absl::Status Begin(const nlohmann::json& header);
  absl::Status PlayCall(const nlohmann::json& call, absl::string_view line);

  std::unique_ptr<CallPlayer> player_;  // null before the first line
  std::string written_;                 // by the call that is played
  int64_t line_number_ = 0;
  ReplayReport report_;
};

}  // namespace tandem
