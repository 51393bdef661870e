// What `tandem bench-engine` found, as a table for people and as JSON for tools.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "engine/kernels/ops.h"
#include "proto/config.pb.h"
#include "server/cli/engine_load.h"
#include "server/cli/machine_limits.h"

namespace tandem {

// One load with the times of its repetitions.
struct BenchRow {
  EngineLoad load;
  LoadWork work;                      // of one repetition
  std::vector<absl::Duration> times;  // at least one

  double MedianSeconds() const;  // of a repetition
  // Median, slowest and fastest repetition.
  double TokensPerSecond() const;
  double MinTokensPerSecond() const;
  double MaxTokensPerSecond() const;
  double StepMilliseconds() const;
  double BytesPerSecond() const;
  double FlopPerSecond() const;
  // How much of the time the machine would need at its limits if it only read, or only multiplied.
  double BandwidthShare(const MachineLimits& limits) const;
  double ArithmeticShare(const MachineLimits& limits) const;
};

// How an engine came up, and what it took.
struct StartFacts {
  absl::Duration load;         // model opened and packed, pools mapped
  absl::Duration first_token;  // from the start of the process to the first token after a prompt
  int prompt_tokens = 0;
  int64_t disk_page_faults = 0;  // many: the model was not in the page cache
};

struct MemoryFacts {
  EngineLoad decode_load;  // that the decode engine held
  int64_t decode_resident_bytes = 0;
  int64_t decode_file_bytes = 0;  // the part of it that workers of one machine share
  int64_t peak_bytes = 0;         // of the process up to the last row
};

struct BenchReport {
  std::string model_name;
  WeightCounts weights;
  Isa isa = Isa::kAuto;
  int num_threads = 0;
  StartFacts start;
  MemoryFacts memory;
  MachineLimits limits;
  std::vector<BenchRow> rows;
};

std::string BenchTable(const BenchReport& report);

// {"machine":{},"model":{},"options":{},"start":{},"memory":{},"limits":{},"rows":[]}; times in
// seconds or as named, sizes in bytes.
nlohmann::ordered_json BenchJson(const BenchReport& report, const Config& config);

}  // namespace tandem
