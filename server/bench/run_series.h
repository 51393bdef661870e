// Runs of one workload at several rates, as the reports take them: measured by the load tester or
// computed by the simulator.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "scheduler/sim/slo_report.h"

namespace tandem {

struct RunResult {
  double rate = std::numeric_limits<double>::infinity();  // wanted, requests per second
  absl::Time started;
  bool was_stopped = false;                // before all requests were sent and answered
  std::optional<double> client_cpu_share;  // of one core; none where there is no client
  std::vector<RequestRecord> records;
  SloReport report;  // of the records
};

// What a search for the highest rate came to; see RateSearch.
struct SearchResult {
  double attainment = 0.9;  // that was asked for
  double holding = 0;
  double failing = std::numeric_limits<double>::infinity();
  bool is_certain = true;
  bool was_stopped = false;
};

struct RunSeries {
  std::string tool;     // "tandem bench 0.1.0"
  std::string label;    // the measurement's name; may be empty
  std::string backend;  // "openai", "openai-chat", "grpc", "simulation"
  std::string server;   // address or cluster
  std::string model;
  std::string workload;  // "512:64", or the trace's name
  std::string arrivals;  // "poisson"
  double burstiness = 1;
  uint64_t seed = 0;
  SloTargets targets;
  std::vector<std::pair<std::string, std::string>> metadata;
  std::vector<RunResult> runs;
  std::optional<SearchResult> search;
};

// "ttft:400 tpot:40 e2el:2000" in ms, with those that are given.
std::string TargetsText(const SloTargets& targets);

// Parses the same, one or several targets in each text. INVALID_ARGUMENT quotes what is not of it.
absl::StatusOr<SloTargets> ParseTargets(const std::vector<std::string>& texts);

// "0.5", "inf".
std::string RateText(double rate);

}  // namespace tandem
