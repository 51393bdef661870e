// Public traces and our own as workloads.
#pragma once

#include <cstdint>
#include <functional>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "scheduler/sim/workload.h"

namespace tandem {

struct TraceOptions {
  int block_tokens = 512;  // tokens of one hash id (512 in Mooncake's traces)
  int max_requests = 0;    // 0: all
  uint64_t seed = 0;       // of the order of a ShareGPT file
  // Counts a text's tokens; by default one for every four bytes.
  std::function<absl::StatusOr<int>(absl::string_view text)> count_tokens;
};

// Reads the content of a trace file, whose kind shows in its first bytes:
//   {"timestamp":ms,"input_length":n,"output_length":n,"hash_ids":[...]} per line: Mooncake's and
//       AIPerf's traces, and our own with "slo_class", "tenant", "priority", "deadline_ms" and
//       "model" beside; other fields are ignored
//   TIMESTAMP,ContextTokens,GeneratedTokens: Azure's CSV files of 2023 and 2024
//   [{"conversations":[{"from":..,"value":..},..]},..]: ShareGPT, of which `vllm bench serve` takes
//       the first two turns as prompt and answer in an order drawn by the seed, without prompts
//       or answers under 4 tokens, prompts over 1024 and sums over 2048. It has no arrival times.
// Arrivals are counted from the first. INVALID_ARGUMENT names the line, or the entry, and what is
// wrong with it: nothing is skipped silently but ShareGPT's entries of another shape.
absl::StatusOr<Workload> ReadTrace(absl::string_view content, const TraceOptions& options);

// One line of our own trace format, without a newline.
std::string TraceLine(const TimedRequest& request);

}  // namespace tandem
