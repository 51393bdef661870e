// simdistserve's own results, which the compat simulator must equal: synthetic cases, single
// points, and every request of six traces.
#include "tests/scheduler/sim/compat/distserve_golden.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <map>
#include <sstream>

#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "scheduler/sim/compat/compat_report.h"
#include "scheduler/sim/compat/distserve_simulator.h"

namespace tandem {
namespace {

constexpr double kExact = 1e-3;  // ms, where the golden files print four decimals

DistServeSetup MakeSetup(const std::string& model, const std::string& backend,
                         const std::array<int, 4>& config) {
  const DistServeProfile profile = GoldenProfile(backend);
  DistServeSetup setup;
  setup.is_colocated = backend == "vllm";
  setup.prefill = GoldenModel(profile, model, config[0], config[1]);
  if (!setup.is_colocated) setup.decode = GoldenModel(profile, model, config[2], config[3]);
  return setup;
}

CompatReport ReportOf(const DistServeSetup& setup, const std::vector<CompatRequest>& requests,
                      const CompatSlo& slo) {
  const auto times = SimulateDistServe(setup, requests);
  EXPECT_TRUE(times.ok()) << times.status();
  return MakeCompatReport(requests, *times, slo);
}

// A line of synth_S.txt.
struct SyntheticCase {
  std::string name, model, backend;
  std::array<int, 4> config = {};
  std::string rate;
  int num_requests = 0;
  SyntheticLengths lengths;
  int seed = 0;
  int num_prefill = 1, num_decode = 1;
  CompatSlo slo;
  std::map<std::string, double> expected;
};

SyntheticCase ParseCase(const std::string& line) {
  std::istringstream words(
      absl::StrReplaceAll(line, {{"(", " "}, {")", " "}, {",", " "}, {"=", " "}}));
  SyntheticCase parsed;
  std::string skipped;
  SyntheticLengths& g = parsed.lengths;
  words >> parsed.name >> parsed.model >> parsed.backend;
  for (int& part : parsed.config) words >> part;
  words >> skipped >> parsed.rate >> skipped >> parsed.num_requests >> skipped;
  words >> g.prompt_min >> g.prompt_range >> g.output_min >> g.output_range;
  words >> skipped >> parsed.seed >> skipped >> parsed.num_prefill >> skipped >> parsed.num_decode;
  words >> skipped >> parsed.slo.ttft_ms >> parsed.slo.tpot_ms;
  std::string key;
  double value = 0;
  while (words >> key >> value) parsed.expected[key] = value;
  parsed.model = parsed.model == "OPT-13B" ? kOpt13B : kOpt66B;
  return parsed;
}

TEST(DistServeGoldenTest, SyntheticCasesHaveItsReports) {
  int num_cases = 0;
  for (const std::string& line : std::vector<std::string>(
           absl::StrSplit(ReadGolden("synth_S.txt"), '\n', absl::SkipEmpty()))) {
    SyntheticCase test = ParseCase(line);
    SCOPED_TRACE(test.name);
    ++num_cases;
    DistServeSetup setup = MakeSetup(test.model, test.backend, test.config);
    setup.num_prefill = test.num_prefill;
    setup.num_decode = test.num_decode;
    const double rate = test.rate == "None" ? HUGE_VAL : std::stod(test.rate);
    const std::vector<double> gaps = PoissonGaps(test.num_requests, test.seed);
    const CompatReport report =
        ReportOf(setup, MakeRequests(test.lengths.Make(test.num_requests), gaps, rate), test.slo);
    ASSERT_EQ(test.expected.size(), 8);
    EXPECT_NEAR(report.ttft.mean, test.expected["meanTTFT"], kExact);
    EXPECT_NEAR(report.ttft.p50, test.expected["p50TTFT"], kExact);
    EXPECT_NEAR(report.ttft.p90, test.expected["p90TTFT"], kExact);
    EXPECT_NEAR(report.ttft.p99, test.expected["p99TTFT"], kExact);
    EXPECT_NEAR(report.tpot.mean, test.expected["meanTPOT"], kExact);
    EXPECT_NEAR(report.tpot.p90, test.expected["p90TPOT"], kExact);
    EXPECT_DOUBLE_EQ(100 * report.attainment, test.expected["both"]);
    EXPECT_NEAR(report.makespan_ms, test.expected["makespan"], kExact);
  }
  EXPECT_EQ(num_cases, 8);
}

TEST(DistServeGoldenTest, EveryRequestOfTheTracesHasItsLatencies) {
  std::vector<std::string> lines =
      absl::StrSplit(ReadGolden("traces_public.csv"), '\n', absl::SkipEmpty());
  ASSERT_EQ(lines.size(), 3001);
  struct Trace {
    std::vector<CompatRequest> requests;
    std::vector<double> ttft, tpot;
  };
  std::map<std::string, Trace> traces;
  for (size_t i = 1; i < lines.size(); ++i) {
    const std::vector<std::string> cells = absl::StrSplit(lines[i], ',');
    ASSERT_EQ(cells.size(), 14);
    Trace& trace = traces[cells[0]];
    trace.requests.push_back(
        {std::stod(cells[9]) * 1000, std::stoi(cells[7]), std::stoi(cells[8])});
    trace.ttft.push_back(std::stod(cells[12]));
    trace.tpot.push_back(std::stod(cells[13]));
  }
  ASSERT_EQ(traces.size(), 6);
  const DistServeSetup setup = MakeSetup(kOpt13B, "distserve", {2, 1, 1, 1});
  for (const auto& [name, trace] : traces) {
    SCOPED_TRACE(name);
    const auto times = SimulateDistServe(setup, trace.requests);
    ASSERT_TRUE(times.ok()) << times.status();
    for (size_t i = 0; i < trace.requests.size(); ++i) {
      const CompatRequest& request = trace.requests[i];
      ASSERT_NEAR((*times)[i].first_token_ms - request.arrival_ms, trace.ttft[i], kExact) << i;
      ASSERT_NEAR(CompatTpot(request, (*times)[i]), trace.tpot[i], kExact) << i;
    }
  }
}

TEST(DistServeGoldenTest, SinglePointsOfShareGptHaveItsPercentiles) {
  const std::vector<CompatRequest> of_66b =
      MakeRequests(ShareGptLengths(200), PoissonGaps(200, 0), 3);
  CompatReport report = ReportOf(MakeSetup(kOpt66B, "distserve", {4, 1, 2, 2}), of_66b,
                                 {.ttft_ms = 400, .tpot_ms = 100});
  EXPECT_NEAR(report.ttft.p50, 215.992042, 1e-6);
  EXPECT_NEAR(report.ttft.p90, 478.291477, 1e-6);
  EXPECT_NEAR(report.ttft.p99, 787.865154, 1e-6);
  EXPECT_NEAR(report.tpot.p50, 70.349033, 1e-6);
  EXPECT_NEAR(report.tpot.p90, 76.083621, 1e-6);
  EXPECT_NEAR(report.tpot.p99, 81.896913, 1e-6);
  EXPECT_NEAR(report.ttft.mean, 248.031372, 1e-6);
  EXPECT_NEAR(report.tpot.mean, 70.033419, 1e-6);
  EXPECT_DOUBLE_EQ(report.attainment, 0.84);

  const std::vector<CompatRequest> of_13b =
      MakeRequests(ShareGptLengths(300), PoissonGaps(300, 0), 6.9);
  report = ReportOf(MakeSetup(kOpt13B, "distserve", {2, 1, 1, 1}), of_13b,
                    {.ttft_ms = 250, .tpot_ms = 100});
  EXPECT_NEAR(report.ttft.p50, 101.485732, 1e-6);
  EXPECT_NEAR(report.ttft.p90, 235.306317, 1e-6);
  EXPECT_NEAR(report.ttft.p99, 361.978091, 1e-6);
  EXPECT_NEAR(report.tpot.p50, 58.375119, 1e-6);
  EXPECT_NEAR(report.tpot.p90, 79.529211, 1e-6);
  EXPECT_NEAR(report.tpot.p99, 84.357239, 1e-6);
  EXPECT_NEAR(100 * report.attainment, 91.3333, 1e-4);
}

TEST(DistServeGoldenTest, AttainmentFallsWithTheRateAsItsDoes) {
  const DistServeSetup setup = MakeSetup(kOpt13B, "distserve", {2, 1, 1, 1});
  const double expected[] = {96.67, 96.33, 95.67, 94.33, 93.33, 91.33, 90.00, 88.00, 87.33, 85.00};
  for (int i = 0; i < 10; ++i) {
    const CompatReport report =
        ReportOf(setup, MakeRequests(ShareGptLengths(300), PoissonGaps(300, 0), 5.4 + 0.3 * i),
                 {.ttft_ms = 250, .tpot_ms = 100});
    EXPECT_NEAR(100 * report.attainment, expected[i], 0.005) << i;
  }
}

}  // namespace
}  // namespace tandem
