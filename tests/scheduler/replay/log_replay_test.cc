#include "scheduler/replay/log_replay.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "tests/scheduler/fake_runner.h"
#include "tests/scheduler/replay/recorded.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

// Two requests, one step every 10 ms: their prompts, then three further tokens of each.
std::vector<std::string> SmallLog() {
  FakeInstanceOf<RecordedScheduler> instance(SmallOptions());
  EXPECT_TRUE(instance.scheduler->Add(MakeRequest(1, 3, 4), absl::UnixEpoch()).ok());
  EXPECT_TRUE(instance.scheduler->Add(MakeRequest(2, 5, 4), absl::UnixEpoch()).ok());
  LoggedScheduler& logged = *instance.scheduler;
  absl::Time now = absl::UnixEpoch();
  while (true) {
    const Batch batch = logged.Schedule(now);
    logged.TakeEvents();
    if (batch.empty()) break;
    now += absl::Milliseconds(10);
    logged.Commit(batch, instance.runner.Run(batch), now);
  }
  return instance.scheduler->lines;
}

TEST(LogReplayTest, CountsWhatTheLogSays) {
  const std::vector<std::string> lines = SmallLog();
  const absl::StatusOr<ReplayReport> report = Replay(lines);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->kind, "instance");
  EXPECT_EQ(report->num_calls, static_cast<int64_t>(lines.size()) - 1);
  EXPECT_EQ(report->num_equal_calls, report->num_calls);
  // Two requests accepted; four batches; two beginnings, eight tokens, two ends.
  EXPECT_EQ(report->num_decisions, 2 + 4 + 12);
  EXPECT_FALSE(report->difference);
  EXPECT_THAT(report->statistics.calls, ElementsAre(Pair("add", 2), Pair("commit", 4),
                                                    Pair("schedule", 5), Pair("take_events", 1)));
  EXPECT_THAT(report->statistics.events,
              ElementsAre(Pair("begun", 2), Pair("finished", 2), Pair("token", 8)));
  EXPECT_THAT(report->statistics.step_ms, ElementsAre(10, 10, 10, 10));
  EXPECT_EQ(report->statistics.last - report->statistics.first, absl::Milliseconds(40));
}

TEST(LogReplayTest, FindsTheFirstDecisionThatWasAnother) {
  std::vector<std::string> lines = SmallLog();
  size_t changed = 0;
  while (lines[changed].find(R"("step":2,"rows")") == std::string::npos) ++changed;
  const std::string logged = absl::StrReplaceAll(lines[changed], {{",1,\"+", ",1,\"+7"}});
  ASSERT_NE(logged, lines[changed]);
  const std::string replayed = std::exchange(lines[changed], logged);
  const absl::StatusOr<ReplayReport> report = Replay(lines);
  ASSERT_TRUE(report.ok()) << report.status();
  ASSERT_TRUE(report->difference);
  EXPECT_EQ(report->difference->line, static_cast<int64_t>(changed) + 1);
  EXPECT_EQ(report->difference->logged, logged);
  EXPECT_EQ(report->difference->replayed, replayed);
  EXPECT_EQ(report->num_equal_calls, static_cast<int64_t>(changed) - 1);
  EXPECT_EQ(report->num_calls, static_cast<int64_t>(lines.size()) - 1) << "the rest is counted";
}

TEST(LogReplayTest, FindsADecisionThatFollowsFromAnotherInput) {
  std::vector<std::string> lines = SmallLog();
  for (std::string& line : lines) {
    line = absl::StrReplaceAll(line,
                               {{R"("max_num_batched_tokens":16)", R"("max_num_batched_tokens":8)"},
                                {R"("max_num_seqs":8)", R"("max_num_seqs":1)"}});
  }
  const absl::StatusOr<ReplayReport> report = Replay(lines);
  ASSERT_TRUE(report.ok()) << report.status();
  ASSERT_TRUE(report->difference);
  EXPECT_THAT(report->difference->logged, HasSubstr(R"("step":1,"rows":[[1,)"));
  EXPECT_THAT(report->difference->replayed, HasSubstr(R"("step":1,"rows":[[1,)"));
}

TEST(LogReplayTest, DamagedLineIsNamed) {
  const std::vector<std::string> good = SmallLog();
  const auto error = [&good](size_t index, const std::string& line) {
    std::vector<std::string> lines = good;
    lines[index] = line;
    return std::string(Replay(lines).status().message());
  };
  EXPECT_EQ(error(3, good[3].substr(0, 20)), "line 4: no JSON object");
  EXPECT_EQ(error(0, good[1]), "line 1: not the beginning of an event log");
  EXPECT_THAT(error(0, absl::StrReplaceAll(good[0], {{R"(log":1)", R"(log":2)"}})),
              HasSubstr("line 1: an event log of format 2"));
  EXPECT_THAT(error(0, absl::StrReplaceAll(good[0], {{R"(_blocks":32)", R"(_blocks":0)"}})),
              HasSubstr("line 1: num_blocks must be at least 1"));
  EXPECT_EQ(error(1, R"({"call":"sing"})"), "line 2: an instance has no call \"sing\"");
  EXPECT_EQ(error(1, R"({"call":"add","request":{}})"), "line 2: field \"now\" is missing");
  EXPECT_EQ(error(1, R"({"call":"add","now":1,"request":{"id":-1}})"),
            "line 2: field \"request\" cannot be {\"id\":-1}");
  EXPECT_EQ(error(1, R"({"call":"commit","now":1,"step":9,"output":[]})"),
            "line 2: step 9 is not in flight");
}

TEST(LogReplayTest, LogOfARouterThatNamesNoSuchCallIsDamaged) {
  RecordedRouter router({.seed = 1});
  router.lines.push_back(R"({"call":"schedule","now":1})");
  EXPECT_EQ(Replay(router.lines).status().message(), "line 2: a router has no call \"schedule\"");
}

}  // namespace
}  // namespace tandem
