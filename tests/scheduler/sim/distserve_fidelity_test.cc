// Gate C: the production schedulers in simulation against recorded runs of DistServe on A100 GPUs
// (tests/golden/distserve/README.md).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "scheduler/sim/cluster_simulator.h"
#include "scheduler/sim/profile.h"

namespace tandem {
namespace {

struct RecordedRun {
  Workload workload;
  std::vector<double> real_ttft_ms, real_tpot_ms;
};

// By name "N-R".
std::map<std::string, RecordedRun> ReadRuns() {
  std::map<std::string, RecordedRun> runs;
  std::ifstream file(std::string(TANDEM_SOURCE_DIR) + "/tests/golden/distserve/traces_public.csv");
  std::string line;
  std::getline(file, line);
  while (std::getline(file, line)) {
    const std::vector<std::string> cells = absl::StrSplit(line, ',');
    RecordedRun& run = runs[cells[0].substr(std::string("distserve-c21d11-").size())];
    TimedRequest& request = run.workload.requests.emplace_back();
    request.prompt_tokens = std::stoi(cells[7]);
    request.output_tokens = std::stoi(cells[8]);
    request.arrival = absl::Seconds(std::stod(cells[9]));
    run.real_ttft_ms.push_back(std::stod(cells[10]));
    run.real_tpot_ms.push_back(std::stod(cells[11]));
  }
  return runs;
}

// One parameter file for all runs, whose one free number comes from run 300-3.
std::vector<InstanceProfile> ReadProfiles() {
  std::ifstream file(std::string(TANDEM_SOURCE_DIR) +
                     "/tests/golden/distserve/opt13b_tandem_profile.json");
  std::stringstream text;
  text << file.rdbuf();
  return ParseProfile(text.str()).value().instances;
}

SimInstanceOptions Instance(InstanceRole role, int tp) {
  const InstanceProfile profile = FindProfile(ReadProfiles(), tp, 1).value();
  return {.role = role,
          .scheduler = {.num_blocks = static_cast<int>(profile.num_kv_tokens / profile.block_size),
                        .block_size = profile.block_size,
                        .max_model_len = 4096,
                        .max_num_seqs = 1024,
                        .max_num_batched_tokens = profile.max_num_batched_tokens,
                        .max_queued_requests = 1 << 20,
                        .prefix_caching = false},
          .latency = LatencyModel::Create(profile.latency).value()};
}

SimulationOptions Cluster() {
  SimulationOptions options;
  options.keep_token_gaps = false;
  options.layerwise = false;
  options.instances = {Instance(InstanceRole::kPrefill, 2), Instance(InstanceRole::kDecode, 1)};
  return options;
}

double Attainment(const std::vector<double>& ttft_ms, const std::vector<double>& tpot_ms,
                  double ttft_slo, double tpot_slo) {
  int num_good = 0;
  for (size_t i = 0; i < ttft_ms.size(); ++i) {
    num_good += ttft_ms[i] <= ttft_slo && tpot_ms[i] <= tpot_slo;
  }
  return 100.0 * num_good / static_cast<double>(ttft_ms.size());
}

struct Simulated {
  std::vector<double> ttft_ms, tpot_ms;
};

Simulated Simulate(const RecordedRun& run) {
  auto simulator = ClusterSimulator::Create(Cluster());
  EXPECT_TRUE(simulator.ok()) << simulator.status();
  const SimulationResult result = (*simulator)->Run(run.workload);
  EXPECT_TRUE(result.problems.empty()) << result.problems.front();
  Simulated simulated;
  for (const RequestRecord& record : result.records) {
    EXPECT_EQ(record.outcome, RequestRecord::Outcome::kServed) << record.error;
    simulated.ttft_ms.push_back(absl::ToDoubleMilliseconds(record.ttft));
    simulated.tpot_ms.push_back(absl::ToDoubleMilliseconds(record.Tpot()));
  }
  return simulated;
}

TEST(DistServeFidelityTest, AttainmentIsThatOfTheRealRuns) {
  double sum = 0, max = 0, sum_held_out = 0, max_held_out = 0;
  const std::map<std::string, RecordedRun> runs = ReadRuns();
  ASSERT_EQ(runs.size(), 6u);
  for (const auto& [name, run] : runs) {
    const Simulated simulated = Simulate(run);
    const double real = Attainment(run.real_ttft_ms, run.real_tpot_ms, 250, 100);
    const double ours = Attainment(simulated.ttft_ms, simulated.tpot_ms, 250, 100);
    const double error = std::abs(ours - real);
    RecordProperty(name, absl::StrCat("real ", real, " simulated ", ours));
    sum += error / 6;
    max = std::max(max, error);
    if (name != "300-3" && name != "300-6") {
      sum_held_out += error / 4;
      max_held_out = std::max(max_held_out, error);
    }
    const Samples real_ttft(run.real_ttft_ms), ttft(simulated.ttft_ms);
    const Samples real_tpot(run.real_tpot_ms), tpot(simulated.tpot_ms);
    const auto within_30_percent = [](double real_ms, double simulated_ms) {
      return real_ms <= 1000 || std::abs(simulated_ms / real_ms - 1) <= 0.3;
    };
    EXPECT_TRUE(within_30_percent(real_ttft.Percentile(90), ttft.Percentile(90))) << name;
    EXPECT_TRUE(within_30_percent(real_tpot.Percentile(90), tpot.Percentile(90))) << name;
  }
  EXPECT_LE(sum, 1.0);
  EXPECT_LE(max, 3.0);
  EXPECT_LE(sum_held_out, 1.5);
  EXPECT_LE(max_held_out, 4.0);
}

}  // namespace
}  // namespace tandem
