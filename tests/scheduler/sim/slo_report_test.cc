#include "scheduler/sim/slo_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "scheduler/sim/random.h"

namespace tandem {
namespace {

using Outcome = RequestRecord::Outcome;

RequestRecord Served(double sent_ms, double ttft_ms, double latency_ms, int output_tokens) {
  return {.scheduled = absl::Milliseconds(sent_ms),
          .sent = absl::Milliseconds(sent_ms),
          .outcome = Outcome::kServed,
          .ttft = absl::Milliseconds(ttft_ms),
          .latency = absl::Milliseconds(latency_ms),
          .prompt_tokens = 10,
          .output_tokens = output_tokens};
}

SloTargets Targets(double ttft_ms, double tpot_ms) {
  return {.ttft = absl::Milliseconds(ttft_ms), .tpot = absl::Milliseconds(tpot_ms)};
}

TEST(SloReportTest, TpotSpreadsTheTimeAfterTheFirstToken) {
  EXPECT_EQ(Served(0, 100, 400, 4).Tpot(), absl::Milliseconds(100));
  EXPECT_EQ(Served(0, 100, 100, 1).Tpot(), absl::ZeroDuration());
}

TEST(SloReportTest, ATargetIsMetByItsExactValue) {
  EXPECT_TRUE(IsGood(Served(0, 100, 400, 4), Targets(100, 100)));
  EXPECT_FALSE(IsGood(Served(0, 100, 400, 4), Targets(99, 100)));
  EXPECT_FALSE(IsGood(Served(0, 100, 400, 4), Targets(100, 99)));
  EXPECT_FALSE(IsGood(Served(0, 100, 400, 4), {.latency = absl::Milliseconds(399)}));
  EXPECT_TRUE(IsGood(Served(0, 100, 400, 4), {}));
}

TEST(SloReportTest, FailedAndShedRequestsAreMisses) {
  const std::vector<RequestRecord> records = {
      Served(0, 50, 150, 11),
      Served(1000, 500, 600, 11),
      {.sent = absl::Milliseconds(2000), .outcome = Outcome::kFailed},
      {.sent = absl::Milliseconds(4000), .outcome = Outcome::kShed}};
  const SloReport report = MakeSloReport(records, Targets(100, 20));
  EXPECT_EQ(report.num_requests, 4);
  EXPECT_EQ(report.num_served, 2);
  EXPECT_EQ(report.num_failed, 1);
  EXPECT_EQ(report.num_shed, 1);
  EXPECT_EQ(report.num_good, 1);
  EXPECT_DOUBLE_EQ(report.attainment, 0.25);
  EXPECT_EQ(report.duration, absl::Seconds(4));
  EXPECT_DOUBLE_EQ(report.goodput, 0.25);
  EXPECT_DOUBLE_EQ(report.output_throughput, 5.5);
  EXPECT_EQ(report.input_tokens, 20);
  EXPECT_LT(report.attainment_interval.low, 0.25);
  EXPECT_GT(report.attainment_interval.high, 0.25);
}

TEST(SloReportTest, OneTokenAnswersAreLeftOutOfTpot) {
  const std::vector<RequestRecord> records = {Served(0, 50, 150, 11), Served(0, 50, 50, 1)};
  const SloReport report = MakeSloReport(records, Targets(100, 10));
  EXPECT_EQ(report.tpot_ms.sorted().size(), 1u);
  EXPECT_EQ(report.num_good, 2);
}

TEST(SloReportTest, ScaledTargetsAttainMore) {
  const std::vector<RequestRecord> records = {Served(0, 100, 200, 11), Served(0, 300, 400, 11),
                                              Served(0, 100, 3000, 11)};
  const SloReport report = MakeSloReport(records, Targets(200, 20));
  ASSERT_EQ(report.slo_scale.size(), 21u);
  EXPECT_DOUBLE_EQ(report.slo_scale.front().scale, 0.25);
  EXPECT_NEAR(report.slo_scale.back().scale, 4, 1e-9);
  EXPECT_DOUBLE_EQ(report.slo_scale.front().attainment, 0);
  EXPECT_DOUBLE_EQ(report.slo_scale[10].attainment, 1.0 / 3);
  EXPECT_DOUBLE_EQ(report.slo_scale.back().attainment, 2.0 / 3);
  EXPECT_TRUE(MakeSloReport(records, {}).slo_scale.empty());
}

TEST(SloReportTest, CountsOpenRequestsOverTime) {
  const std::vector<RequestRecord> records = {Served(0, 500, 1000, 2), Served(100, 300, 800, 2),
                                              Served(2000, 10, 20, 2)};
  const SloReport report = MakeSloReport(records, {});
  EXPECT_EQ(report.max_concurrent, 2);
  ASSERT_FALSE(report.timeline.empty());
  for (const LoadPoint& point : report.timeline) {
    EXPECT_GE(point.waiting, 0);
    EXPECT_GE(point.streaming, 0);
    if (point.time == absl::Milliseconds(202)) {
      EXPECT_EQ(point.waiting, 2);
    }
  }
  EXPECT_EQ(report.timeline.back().streaming + report.timeline.back().waiting, 0);
}

TEST(SloReportTest, WhatEndsMakesRoomForWhatBegins) {
  EXPECT_EQ(MakeSloReport({{Served(0, 5, 10, 2), Served(10, 5, 10, 2)}}, {}).max_concurrent, 1);
}

TEST(SloReportTest, TheBusiestSecondHoldsMostTokens) {
  EXPECT_DOUBLE_EQ(MakeSloReport({{Served(0, 100, 900, 9), Served(200, 100, 1700, 17)}}, {})
                       .max_output_per_second,
                   16);
}

TEST(SloReportTest, LatenessIsOfAllRequests) {
  RequestRecord late = Served(10, 1, 2, 2);
  late.scheduled = absl::Milliseconds(7);
  const SloReport report = MakeSloReport({{late, {.outcome = Outcome::kShed}}}, {});
  EXPECT_DOUBLE_EQ(report.lateness_ms.Percentile(100), 3);
  EXPECT_EQ(report.lateness_ms.sorted().size(), 2u);
}

TEST(SloReportTest, NoRequestsMakeAnEmptyReport) {
  const SloReport report = MakeSloReport({}, Targets(1, 1));
  EXPECT_EQ(report.num_requests, 0);
  EXPECT_EQ(report.goodput, 0);
  EXPECT_TRUE(report.timeline.empty());
}

TEST(SloReportTest, AttainmentAgreesWithANaiveModel) {
  Random random(3);
  std::vector<RequestRecord> records;
  int good = 0;
  for (int i = 0; i < 500; ++i) {
    const double ttft = 200 * random.Uniform(), rest = 1000 * random.Uniform();
    const int tokens = 1 + static_cast<int>(random.Below(20));
    records.push_back(Served(10 * i, ttft, tokens > 1 ? ttft + rest : ttft, tokens));
    good += ttft <= 120 && (tokens == 1 || rest / (tokens - 1) <= 60);
  }
  EXPECT_EQ(MakeSloReport(records, Targets(120, 60)).num_good, good);
}

}  // namespace
}  // namespace tandem
