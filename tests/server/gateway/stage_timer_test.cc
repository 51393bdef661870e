#include "server/gateway/stage_timer.h"

#include <map>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tandem {
namespace {

using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

absl::Time At(int64_t ms) { return absl::UnixEpoch() + absl::Milliseconds(1000 + ms); }

// Stamps of a worker whose clock is `skew_ms` ahead of the gateway's.
struct WorkerClock {
  int64_t skew_ms = 0;

  v1::StageTimes Times(int accepted, int begun, int kv_ready, int step_begin, int sent) const {
    const auto stamp = [this](int ms) { return absl::ToUnixMicros(At(ms + skew_ms)); };
    v1::StageTimes times;
    times.set_accepted_unix_us(stamp(accepted));
    times.set_begun_unix_us(stamp(begun));
    times.set_kv_ready_unix_us(stamp(kv_ready));
    times.set_step_begin_unix_us(stamp(step_begin));
    times.set_sent_unix_us(stamp(sent));
    return times;
  }
};

std::map<std::string, double> InMs(const Stages& stages) {
  std::map<std::string, double> ms;
  for (const Stage& stage : stages) {
    ms[std::string(stage.name)] = absl::ToDoubleMilliseconds(stage.time);
  }
  return ms;
}

double SumMs(const Stages& stages) {
  absl::Duration sum;
  for (const Stage& stage : stages) sum += stage.time;
  return absl::ToDoubleMilliseconds(sum);
}

TEST(StageTimerTest, NamesEveryStageOfBothTokens) {
  StageTimer timer(At(0));
  timer.AskForRoute(At(1));
  timer.OpenCalls(At(3));
  timer.TakeFirstToken(WorkerClock().Times(7, 15, 31, 16, 31), At(34), At(36));
  EXPECT_THAT(InMs(timer.first_token()),
              UnorderedElementsAre(Pair("ingress", 1), Pair("retry", 0), Pair("route", 2),
                                   Pair("network", 4 + 3), Pair("queue", 8), Pair("prefill", 16),
                                   Pair("detokenize", 2)));
  EXPECT_EQ(SumMs(timer.first_token()), 36);

  timer.TakeSecondToken(WorkerClock().Times(7, 16, 37, 42, 52), At(59));
  EXPECT_THAT(InMs(timer.second_token()),
              UnorderedElementsAre(Pair("kv_exposed", 6), Pair("queue", 5), Pair("decode", 10),
                                   Pair("network", 7 - 5)));
  EXPECT_EQ(SumMs(timer.second_token()), 59 - 36);
}

TEST(StageTimerTest, SumsHoldWhateverTheWorkersClocksSay) {
  StageTimer timer(At(0));
  timer.AskForRoute(At(1));
  timer.OpenCalls(At(3));
  const WorkerClock prefill{.skew_ms = 400}, decode{.skew_ms = -300};
  timer.TakeFirstToken(prefill.Times(7, 15, 31, 16, 31), At(34), At(36));
  EXPECT_THAT(InMs(timer.first_token()), ::testing::Contains(Pair("network", 7)));
  EXPECT_EQ(SumMs(timer.first_token()), 36);
  timer.TakeSecondToken(decode.Times(7, 16, 37, 42, 52), At(59));
  EXPECT_THAT(InMs(timer.second_token()), ::testing::Contains(Pair("decode", 10)));
  EXPECT_EQ(SumMs(timer.second_token()), 59 - 36);
}

TEST(StageTimerTest, LostAttemptsAreAStage) {
  StageTimer timer(At(0));
  timer.AskForRoute(At(1));
  timer.OpenCalls(At(3));
  timer.AskForRoute(At(500));
  timer.OpenCalls(At(502));
  timer.TakeFirstToken(WorkerClock().Times(503, 504, 520, 505, 520), At(521), At(522));
  EXPECT_THAT(InMs(timer.first_token()), ::testing::Contains(Pair("retry", 499)));
  EXPECT_EQ(SumMs(timer.first_token()), 522);
}

TEST(StageTimerTest, ASecondTokenOfAnotherAttemptHasNoStages) {
  StageTimer timer(At(0));
  timer.AskForRoute(At(1));
  timer.OpenCalls(At(3));
  timer.TakeFirstToken(WorkerClock().Times(7, 15, 31, 16, 31), At(34), At(36));
  timer.AskForRoute(At(40));
  timer.OpenCalls(At(41));
  timer.TakeSecondToken(WorkerClock().Times(42, 43, 60, 44, 60), At(62));
  EXPECT_THAT(timer.second_token(), IsEmpty());
}

TEST(StageTimerTest, WithoutStampsNothingIsClaimed) {
  StageTimer timer(At(0));
  timer.AskForRoute(At(1));
  timer.OpenCalls(At(3));
  timer.TakeFirstToken(v1::StageTimes(), At(34), At(36));
  timer.TakeSecondToken(v1::StageTimes(), At(40));
  EXPECT_THAT(timer.first_token(), IsEmpty());
  EXPECT_THAT(timer.second_token(), IsEmpty());
}

TEST(StageTimerTest, HeaderValueIsServerTimingsSyntax) {
  EXPECT_EQ(
      ToHeaderValue({{"ingress", absl::Microseconds(211)}, {"prefill", absl::Milliseconds(9)}}),
      "ingress;dur=0.211, prefill;dur=9.000");
}

}  // namespace
}  // namespace tandem
