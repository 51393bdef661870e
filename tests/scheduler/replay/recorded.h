// Schedulers that keep the lines of their log, and what becomes of lines when they are replayed.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/strip.h"
#include "scheduler/replay/log_replay.h"
#include "scheduler/replay/logged_router.h"
#include "scheduler/replay/logged_scheduler.h"

namespace tandem {

struct Lines {
  std::vector<std::string> lines;

  LineSink Sink() {
    return [this](absl::string_view line) {
      EXPECT_TRUE(absl::ConsumeSuffix(&line, "\n")) << line;
      lines.emplace_back(line);
    };
  }
};

// Now and then its prefix changes are taken, as a heartbeat does.
struct RecordedScheduler : Lines, LoggedScheduler {
  explicit RecordedScheduler(std::unique_ptr<InstanceScheduler> scheduler)
      : LoggedScheduler(std::move(scheduler), Sink()) {}

  static absl::StatusOr<std::unique_ptr<RecordedScheduler>> Create(const InstanceOptions& options) {
    auto scheduler = InstanceScheduler::Create(options);
    if (!scheduler.ok()) return scheduler.status();
    return std::make_unique<RecordedScheduler>(*std::move(scheduler));
  }

  Batch Schedule(absl::Time now) {
    if (++num_steps % 50 == 1) RestartPrefixChanges();
    if (num_steps % 3 == 0) TakePrefixChanges(5);
    return LoggedScheduler::Schedule(now);
  }

  int num_steps = 0;
};

struct RecordedRouter : Lines, LoggedRouter {
  explicit RecordedRouter(const RouterOptions& options) : LoggedRouter(options, Sink()) {}
};

inline absl::StatusOr<ReplayReport> Replay(const std::vector<std::string>& lines) {
  LogReplay replay;
  for (const std::string& line : lines) {
    if (absl::Status status = replay.Play(line); !status.ok()) return status;
  }
  return replay.report();
}

// Every line but the first is played, with the same outcome.
inline void ExpectEqualReplay(const std::vector<std::string>& lines) {
  const absl::StatusOr<ReplayReport> report = Replay(lines);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->num_equal_calls, static_cast<int64_t>(lines.size()) - 1);
  EXPECT_EQ(report->num_equal_decisions, report->num_decisions);
  if (!report->difference) return;
  ADD_FAILURE() << "line " << report->difference->line << "\n"
                << report->difference->logged << "\n"
                << report->difference->replayed;
}

}  // namespace tandem
