// What became of a run's requests, and what it comes to: latencies, SLO attainment, goodput. Load
// tester and simulator fill the same records, so their reports can be laid side by side.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "scheduler/sim/samples.h"

namespace tandem {

// One request of a run. Times marked "after the start" count from the start of the run.
struct RequestRecord {
  enum class Outcome { kServed, kFailed, kShed };

  int64_t index = 0;         // in the workload
  absl::Duration scheduled;  // after the start: when it was to be sent
  absl::Duration sent;       // after the start: when it was
  Outcome outcome = Outcome::kFailed;
  std::string error;  // why it was not served
  // Of a served one, from `sent` on: the first and the last token.
  absl::Duration ttft;
  absl::Duration latency;
  int prompt_tokens = 0;
  int output_tokens = 0;
  int cached_tokens = 0;              // of the prompt, as the server says
  std::vector<double> token_gaps_ms;  // between successive pieces of the answer; may be left out
  std::string slo_class;
  std::string path;  // how a Tandem server served it; empty elsewhere

  // (latency - ttft) / (output_tokens - 1); zero for one token.
  absl::Duration Tpot() const;
  // When it ended, after the start; of an unserved one when it was given up.
  absl::Duration End() const { return sent + latency; }
};

// Each target that is given must be met (<=).
struct SloTargets {
  std::optional<absl::Duration> ttft, tpot, latency;

  bool IsEmpty() const { return !ttft && !tpot && !latency; }
  // Every target multiplied by `factor`.
  SloTargets Scaled(double factor) const;
};

// Served, and within every target; a request of one token always meets its TPOT.
bool IsGood(const RequestRecord& record, const SloTargets& targets);

// The attainment had all targets been `scale` times as long.
struct SloScalePoint {
  double scale = 1;
  double attainment = 0;
};

// How many requests waited for their first token, and how many were being answered.
struct LoadPoint {
  absl::Duration time;  // after the start
  int waiting = 0;
  int streaming = 0;
};

struct SloReport {
  int num_requests = 0;  // all that were sent
  int num_served = 0;
  int num_failed = 0;
  int num_shed = 0;
  int num_good = 0;
  absl::Duration duration;  // from the first sending to the last end
  double attainment = 0;    // num_good / num_requests
  ShareInterval attainment_interval;
  double goodput = 0;  // good requests per second
  double request_throughput = 0;
  double output_throughput = 0;      // tokens per second
  double total_throughput = 0;       // prompt and output tokens per second
  double max_output_per_second = 0;  // tokens of the busiest second
  int max_concurrent = 0;
  int64_t input_tokens = 0;
  int64_t output_tokens = 0;
  Samples ttft_ms, tpot_ms, itl_ms, latency_ms;  // of served requests; TPOT of more than a token
  Samples lateness_ms;                           // sent - scheduled, of all
  std::vector<SloScalePoint> slo_scale;          // empty without targets
  std::vector<LoadPoint> timeline;               // some 200 points over the run
};

SloReport MakeSloReport(absl::Span<const RequestRecord> records, const SloTargets& targets);

// "served", "failed", "shed".
const char* OutcomeName(RequestRecord::Outcome outcome);

}  // namespace tandem
