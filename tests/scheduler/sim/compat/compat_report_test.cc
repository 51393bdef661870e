#include "scheduler/sim/compat/compat_report.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "tests/scheduler/sim/compat/distserve_golden.h"

namespace tandem {
namespace {

TEST(CompatReportTest, PercentilesLieBetweenTheTwoValuesAroundThem) {
  EXPECT_DOUBLE_EQ(Percentile({40, 10, 30, 20}, 50), 25);
  EXPECT_DOUBLE_EQ(Percentile({40, 10, 30, 20}, 90), 37);
  EXPECT_DOUBLE_EQ(Percentile({40, 10, 30, 20}, 0), 10);
  EXPECT_DOUBLE_EQ(Percentile({40, 10, 30, 20}, 100), 40);
  EXPECT_DOUBLE_EQ(Percentile({7}, 90), 7);
  EXPECT_EQ(Percentile({}, 90), 0);
}

// Ten requests at 0 whose first tokens come at 10, 20, ... 100 ms, and one output token 5 ms later.
struct TenRequests {
  std::vector<CompatRequest> requests;
  std::vector<CompatTimes> times;
};

TenRequests MakeTenRequests() {
  TenRequests run;
  for (int i = 1; i <= 10; ++i) {
    run.requests.push_back({0, 100, 1});
    run.times.push_back({10.0 * i, 10.0 * i + 5});
  }
  return run;
}

TEST(CompatReportTest, TheVerdictIsStrictAndTheAttainmentIsNot) {
  const TenRequests run = MakeTenRequests();
  CompatReport report = MakeCompatReport(run.requests, run.times, {.ttft_ms = 91, .tpot_ms = 5});
  EXPECT_DOUBLE_EQ(report.ttft.p90, 91);
  EXPECT_FALSE(report.meets_slo);
  EXPECT_DOUBLE_EQ(report.attainment, 0.9);  // a TPOT of 5 is within 5
  report = MakeCompatReport(run.requests, run.times, {.ttft_ms = 92, .tpot_ms = 6});
  EXPECT_TRUE(report.meets_slo);
  EXPECT_DOUBLE_EQ(report.makespan_ms, 105);
}

TEST(CompatReportTest, TheWarmUpDoesNotCount) {
  const TenRequests run = MakeTenRequests();
  const CompatReport report =
      MakeCompatReport(run.requests, run.times, {.ttft_ms = 90, .tpot_ms = 5}, /*num_warmup=*/8);
  EXPECT_DOUBLE_EQ(report.ttft.mean, 95);
  EXPECT_DOUBLE_EQ(report.attainment, 0.5);
  EXPECT_DOUBLE_EQ(report.makespan_ms, 105);
}

// Targets around what the run reaches, so that the early end is tried on both sides.
TEST(CompatReportTest, AVerdictReachedEarlyIsThatOfTheWholeRun) {
  DistServeSetup setup;
  setup.prefill = GoldenModel(GoldenProfile("distserve"), kOpt13B, 2, 1);
  setup.decode = GoldenModel(GoldenProfile("distserve"), kOpt13B, 1, 1);
  const std::vector<CompatRequest> requests =
      MakeRequests(ShareGptLengths(301), PoissonGaps(301, 0), 6.9);
  const auto times = SimulateDistServe(setup, requests);
  ASSERT_TRUE(times.ok()) << times.status();
  std::mt19937 generator(0);
  int num_met = 0;
  for (int i = 0; i < 100; ++i) {
    const CompatSlo slo = {.ttft_ms = 200.0 + generator() % 100,
                           .tpot_ms = 60.0 + generator() % 40,
                           .ttft_percentile = 80.0 + generator() % 21,
                           .tpot_percentile = 80.0 + generator() % 21};
    const size_t num_warmup = i % 2 == 0 ? 0 : 100;
    const bool meets = MakeCompatReport(requests, *times, slo, num_warmup).meets_slo;
    EXPECT_EQ(*MeetsCompatSlo(setup, requests, slo, num_warmup), meets);
    num_met += meets;
  }
  EXPECT_GT(num_met, 10);
  EXPECT_LT(num_met, 90);
}

}  // namespace
}  // namespace tandem
