#include "server/bench/load_test.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "tests/server/bench/fake_client.h"

namespace tandem {
namespace {

using testing::HasSubstr;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

LoadTestObserver Ignore() {
  return {.on_progress = [](const LoadProgress&) { return true; }, .on_run = [](const auto&) {}};
}

LoadTestOptions Options(FakeServer& server) {
  LoadTestOptions options;
  options.run = {.make_client = FakeClients(server), .targets = {.ttft = absl::Milliseconds(10)}};
  options.prompt = LengthDistribution::Parse("1..100").value();
  options.num_requests = 20;
  options.rates = {kInfinity};
  return options;
}

Workload Trace() {
  Workload trace = {.has_arrivals = true};
  for (int i = 0; i < 10; ++i) {
    trace.requests.push_back({.arrival = absl::Seconds(i), .prompt_tokens = i + 1});
  }
  return trace;
}

TEST(MakeRunWorkloadTest, TheDurationDecidesTheNumberOfRequests) {
  FakeServer server;
  LoadTestOptions options = Options(server);
  options.num_requests = 0;
  options.duration = absl::Seconds(20);
  EXPECT_EQ(MakeRunWorkload(options, 4, 0)->requests.size(), 80u);
  EXPECT_EQ(MakeRunWorkload(options, 0.001, 0)->requests.size(), 1u);
  EXPECT_THAT(MakeRunWorkload(options, kInfinity, 0).status().message(), HasSubstr("inf"));
}

TEST(MakeRunWorkloadTest, RatesHaveTheSameLengthsAndRepetitionsOthers) {
  FakeServer server;
  const LoadTestOptions options = Options(server);
  const Workload slow = *MakeRunWorkload(options, 1, 0), fast = *MakeRunWorkload(options, 9, 0);
  const Workload again = *MakeRunWorkload(options, 1, 1);
  int equal = 0;
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(slow.requests[i].prompt_tokens, fast.requests[i].prompt_tokens);
    equal += slow.requests[i].prompt_tokens == again.requests[i].prompt_tokens;
  }
  EXPECT_LT(equal, 10);
  EXPECT_NE(slow.requests[19].arrival, again.requests[19].arrival);
}

TEST(MakeRunWorkloadTest, ATraceKeepsItsTimesOrIsScaled) {
  FakeServer server;
  LoadTestOptions options = Options(server);
  options.trace = Trace();
  options.keeps_trace_times = true;
  options.num_requests = 0;
  options.duration = absl::Seconds(4);
  const Workload own = *MakeRunWorkload(options, std::nullopt, 0);
  EXPECT_EQ(own.requests.size(), 5u);
  EXPECT_EQ(own.requests[4].arrival, absl::Seconds(4));
  const Workload scaled = *MakeRunWorkload(options, 2 * options.trace->Rate(), 0);
  EXPECT_EQ(scaled.requests.size(), 9u);
  options.num_requests = 12;
  EXPECT_EQ(MakeRunWorkload(options, std::nullopt, 0)->requests.size(), 12u);
}

TEST(MakeRunWorkloadTest, ATraceCanGiveLengthsAlone) {
  FakeServer server;
  LoadTestOptions options = Options(server);
  options.trace = Trace();
  options.num_requests = 3;
  options.burstiness = kInfinity;
  const Workload workload = *MakeRunWorkload(options, 4, 0);
  EXPECT_EQ(workload.requests[2].prompt_tokens, 3);
  EXPECT_EQ(workload.requests[2].arrival, absl::Milliseconds(750));
}

TEST(RunLoadTestTest, RunsEveryRateAfterTheWarmUp) {
  FakeServer server;
  LoadTestOptions options = Options(server);
  options.rates = {10000, kInfinity};
  options.num_warmup_requests = 7;
  RunSeries series;
  ASSERT_TRUE(RunLoadTest(options, Ignore(), series).ok());
  ASSERT_EQ(series.runs.size(), 2u);
  EXPECT_EQ(series.runs[0].rate, 10000);
  EXPECT_EQ(series.runs[0].report.num_good, 20);
  EXPECT_EQ(series.runs[1].records.size(), 20u);
  EXPECT_FALSE(series.search.has_value());
  EXPECT_EQ(server.asks.size(), 47u);
}

TEST(RunLoadTestTest, TheWarmUpNamesNoTargets) {
  FakeServer server;
  LoadTestOptions options = Options(server);
  options.num_warmup_requests = 3;
  RunSeries series;
  ASSERT_TRUE(RunLoadTest(options, Ignore(), series).ok());
  ASSERT_EQ(server.asks.size(), 23u);
  for (int i = 0; i < 23; ++i) EXPECT_EQ(server.asks[i].names_targets, i >= 3);
}

TEST(RunLoadTestTest, RunsShareNoPrompt) {
  FakeServer server;
  LoadTestOptions options = Options(server);
  options.prompt = LengthDistribution::Exactly(8);
  options.rates = {kInfinity, kInfinity};
  RunSeries series;
  ASSERT_TRUE(RunLoadTest(options, Ignore(), series).ok());
  std::set<std::vector<uint32_t>> prompts;
  for (const Ask& ask : server.asks) prompts.insert(ask.tokens);
  EXPECT_EQ(prompts.size(), 40u);
}

TEST(RunLoadTestTest, AServerThatRefusesTheWarmUpIsAnError) {
  FakeServer server;
  server.outcome = RequestRecord::Outcome::kFailed;
  server.error = "HTTP 401: no key";
  LoadTestOptions options = Options(server);
  options.num_warmup_requests = 2;
  RunSeries series;
  EXPECT_THAT(RunLoadTest(options, Ignore(), series).message(), HasSubstr("401"));
  EXPECT_TRUE(series.runs.empty());
}

TEST(RunLoadTestTest, SearchesUpwardsWhileEverythingIsGood) {
  FakeServer server;
  LoadTestOptions options = Options(server);
  options.num_requests = 60;
  options.search = RateSearchOptions{.first_rate = 20000, .max_rate = 100000};
  RunSeries series;
  ASSERT_TRUE(RunLoadTest(options, Ignore(), series).ok());
  ASSERT_TRUE(series.search.has_value());
  EXPECT_EQ(series.search->holding, 100000);
}

TEST(RunLoadTestTest, ARunOfASearchEndsOnceItsResultIsKnown) {
  FakeServer server;
  server.outcome = RequestRecord::Outcome::kShed;
  LoadTestOptions options = Options(server);
  options.num_requests = 100000;
  options.search = RateSearchOptions{.first_rate = 10000, .min_rate = 5000};
  RunSeries series;
  ASSERT_TRUE(RunLoadTest(options, Ignore(), series).ok());
  EXPECT_EQ(series.search->holding, 0);
  EXPECT_LT(series.runs[0].records.size(), 50000u);
}

TEST(RunLoadTestTest, TheObserverEndsIt) {
  FakeServer server;
  server.answers = false;
  LoadTestOptions options = Options(server);
  options.rates = {kInfinity, 1, 2, 3};
  RunSeries series;
  const LoadTestObserver observer = {.on_progress = [](const LoadProgress&) { return false; },
                                     .on_run = [](const auto&) {}};
  ASSERT_TRUE(RunLoadTest(options, observer, series).ok());
  ASSERT_EQ(series.runs.size(), 1u);
  EXPECT_TRUE(series.runs[0].was_stopped);
}

}  // namespace
}  // namespace tandem
