// What clients send and when: made from distributions or read from a trace (trace_reader.h), for
// the load tester and the simulator alike. The same options and seed give the same requests.
//
//   Workload workload = DrawWorkload({.num_requests = 1000, .prompt = ..., .output = ...}, seed);
//   SetArrivals(workload, {.rate = 4}, seed);
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "scheduler/sim/length_distribution.h"

namespace tandem {

// One request of a workload.
struct TimedRequest {
  absl::Duration arrival = absl::ZeroDuration();  // after the start
  int prompt_tokens = 1;
  int output_tokens = 1;
  // What each block of Workload::block_tokens tokens holds, the last one cut off by the prompt's
  // end. Prompts whose ids begin alike begin with the same tokens. Empty: content of its own.
  std::vector<uint64_t> block_ids;
  std::string text;  // the prompt itself where the trace has it; prompt_tokens is then an estimate
  std::string slo_class, tenant, model;                // empty: the default
  int priority = 0;                                    // lower is earlier
  absl::Duration deadline = absl::InfiniteDuration();  // after the arrival
};

struct Workload {
  std::string name;  // of the trace, or the lengths
  int block_tokens = 512;
  bool has_arrivals = false;           // false: all arrive at once until SetArrivals is called
  std::vector<TimedRequest> requests;  // in order of arrival

  absl::Duration Length() const;  // until the last arrival
  double Rate() const;            // requests per second over Length(); infinite if that is zero
};

struct DrawOptions {
  int num_requests = 1;
  LengthDistribution prompt = LengthDistribution::Exactly(512);
  LengthDistribution output = LengthDistribution::Exactly(64);
};

// Requests with contents of their own; lengths of prompts and outputs are independent.
Workload DrawWorkload(const DrawOptions& options, uint64_t seed);

// An open loop: gaps between arrivals are Gamma distributed with shape `burstiness` and mean
// 1/rate, as in `vllm bench serve`. Shape 1 is a Poisson process, below 1 comes in bursts, an
// infinite one is constant. An infinite rate sends all at once.
struct ArrivalOptions {
  double rate = std::numeric_limits<double>::infinity();  // requests per second, positive
  double burstiness = 1;                                  // positive
};

// Replaces the arrival times. Gaps of one seed differ between rates by their scale alone, so that
// rates are compared under the same pattern.
void SetArrivals(Workload& workload, const ArrivalOptions& options, uint64_t seed);

// Multiplies the arrival times, so that a trace is replayed at `rate` requests per second.
void ScaleArrivals(Workload& workload, double rate);

// Keeps the first `num_requests`; with more than there are, repeats them, each round one mean gap
// behind the last. Repeated ones get block ids of their own, shared within a round as before.
void Resize(Workload& workload, int num_requests);

}  // namespace tandem
