#include "server/cli/replay_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace tandem {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

ReplayedLog MakeLog() {
  ReplayedLog log{.path = "decode-0-1.jsonl"};
  log.report.kind = "instance";
  log.report.num_calls = log.report.num_equal_calls = 20;
  log.report.num_decisions = log.report.num_equal_decisions = 30;
  log.report.statistics.calls = {{"add", 3}, {"commit", 17}};
  log.report.statistics.events = {{"token", 30}};
  log.report.statistics.first = absl::UnixEpoch();
  log.report.statistics.last = absl::UnixEpoch() + absl::Milliseconds(2500);
  log.report.statistics.step_ms = {10, 20, 30};
  return log;
}

TEST(ReplayReportTest, TextSaysWhatWasEqualAndWhatTheLogIsOf) {
  EXPECT_EQ(ReplayText(MakeLog()),
            "decode-0-1.jsonl: instance, 2.5 s from 1970-01-01T00:00:00.000Z\n"
            "  equal     20 of 20 calls, 30 of 30 decisions\n"
            "  steps     3, P50 20.000 ms, P99 29.800 ms\n"
            "  calls     add 3, commit 17\n"
            "  events    token 30\n");
}

TEST(ReplayReportTest, TextShowsBothVersionsAroundTheFirstOtherByte) {
  ReplayedLog log = MakeLog();
  const std::string common(500, 'a');
  log.report.difference = {.line = 7, .logged = common + "b", .replayed = common + "c" + common};
  const std::string text = ReplayText(log);
  EXPECT_THAT(text, HasSubstr("DIFFERS   in line 7, at byte 501;"));
  EXPECT_THAT(text, HasSubstr("logged    ..." + std::string(60, 'a') + "b\n"));
  EXPECT_THAT(text, HasSubstr("replayed  ..." + std::string(60, 'a') + "c" + std::string(99, 'a') +
                              "...\n"));
}

TEST(ReplayReportTest, TextSaysThatNothingCameOfACall) {
  ReplayedLog log = MakeLog();
  log.report.difference = {.line = 7, .logged = "{}", .replayed = ""};
  EXPECT_THAT(ReplayText(log), HasSubstr("replayed  nothing\n"));
}

TEST(ReplayReportTest, EmptyLogThatWasCutOffIsSaidToBe) {
  const std::string text = ReplayText({.path = "router-1.jsonl", .is_cut_off = true});
  EXPECT_THAT(text, HasSubstr("router-1.jsonl: empty\n"));
  EXPECT_THAT(text, HasSubstr("cut off   in its last line"));
  EXPECT_THAT(text, Not(HasSubstr("steps")));
}

TEST(ReplayReportTest, JsonHasBothLinesWhole) {
  ReplayedLog log = MakeLog();
  EXPECT_TRUE(ReplayJson(log)["equal"].get<bool>());
  EXPECT_EQ(ReplayJson(log)["step_ms"]["p50"], 20);
  log.report.difference = {.line = 7, .logged = "{\"a\":1}", .replayed = "{\"a\":2}"};
  const nlohmann::ordered_json json = ReplayJson(log);
  EXPECT_FALSE(json["equal"].get<bool>());
  EXPECT_EQ(json["difference"]["line"], 7);
  EXPECT_EQ(json["difference"]["replayed"], "{\"a\":2}");
}

}  // namespace
}  // namespace tandem
