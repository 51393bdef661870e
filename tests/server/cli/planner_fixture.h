// A ClusterPlanner of made-up instances, for the tests of what is printed about a plan.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "scheduler/sim/profile.h"
#include "server/cli/cluster_planner.h"
#include "server/cli/config_loader.h"

namespace tandem {

// A prefill takes 1 ms per token and a step of decoding 10 ms.
inline InstanceProfile MadeUpProfile(int tp = 1, int threads = 0) {
  return {.model = "made up",
          .tp = tp,
          .threads = threads,
          .latency = {.prefill = {0, 1.0 / tp, 0}, .decode = {10, 0, 0}},
          .num_kv_tokens = 16384,
          .kv_bytes_per_token = 1000,
          .weight_bytes = 100'000'000};
}

// `args` as of tandem plan, behind --profile and short runs, against ttft:1000 tpot:12 if they have
// no targets.
inline absl::StatusOr<ClusterPlanner> MakePlanner(const std::vector<InstanceProfile>& profiles,
                                                  const std::vector<std::string>& args = {}) {
  const std::string path =
      testing::TempDir() + testing::UnitTest::GetInstance()->current_test_info()->name() + ".json";
  std::ofstream(path) << ProfileJson({.instances = profiles}).dump();
  std::vector<std::string> all = {"--profile",       path,  "--gpus-per-node", "2",
                                  "--requests",      "100", "--seeds",         "2",
                                  "--prompt-tokens", "200", "--output-tokens", "20"};
  if (std::find(args.begin(), args.end(), "--goodput") == args.end()) {
    all.insert(all.end(), {"--goodput", "ttft:1000,tpot:12"});
  }
  all.insert(all.end(), args.begin(), args.end());
  absl::StatusOr<Config> config =
      LoadConfig(PLAN, all, [](const std::string&) { return std::nullopt; });
  if (!config.ok()) return config.status();
  return ClusterPlanner::Create(*config);
}

}  // namespace tandem
