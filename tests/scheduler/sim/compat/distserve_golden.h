// DistServe's published files, as the tests of the compat simulator and of the planner read them.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "scheduler/sim/compat/compat_workload.h"
#include "scheduler/sim/compat/distserve_profile.h"

namespace tandem {

inline std::string ReadGolden(const std::string& name) {
  std::ifstream file(absl::StrCat(TANDEM_SOURCE_DIR, "/tests/golden/distserve/", name));
  EXPECT_TRUE(file.good()) << name;
  return {std::istreambuf_iterator<char>(file), {}};
}

// `backend`: "distserve" or "vllm".
inline DistServeProfile GoldenProfile(const std::string& backend) {
  auto profile =
      DistServeProfile::Parse(ReadGolden(absl::StrCat("profiler-a100-80g.", backend, ".json")),
                              ReadGolden("max_num_tokens.csv"));
  EXPECT_TRUE(profile.ok()) << profile.status();
  return *std::move(profile);
}

// The first `num_requests` of the ShareGPT sample.
inline std::vector<RequestLengths> ShareGptLengths(int num_requests = 1600) {
  auto lengths = ParseLengths(ReadGolden("pairs1600.txt"));
  EXPECT_TRUE(lengths.ok()) << lengths.status();
  lengths->resize(num_requests);
  return *std::move(lengths);
}

inline PhaseModel GoldenModel(const DistServeProfile& profile, const std::string& model, int tp,
                              int pp) {
  auto phase = profile.Find(model, tp, pp);
  EXPECT_TRUE(phase.ok()) << phase.status();
  return *phase;
}

inline constexpr char kOpt13B[] = "facebook/opt-13b";
inline constexpr char kOpt66B[] = "facebook/opt-66b";

}  // namespace tandem
