// An instance of the cluster as it was when it last reported.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "engine/core/ids.h"
#include "engine/core/kv_layout.h"
#include "scheduler/latency_model.h"

namespace tandem {

enum class InstanceRole { kPrefill, kDecode, kMixed };

// "prefill", "decode", "mixed".
absl::string_view InstanceRoleName(InstanceRole role);

// What an instance has learnt of the times of its steps, of each phase once it has made enough.
struct StepLatency {
  bool knows_prefill = false;
  bool knows_decode = false;
  LatencyCoefficients coefficients;
  StepCounts steps;       // learnt from
  double mean_error = 0;  // of the latest ones, as LatencyFit::relative_error
};

struct InstanceView {
  InstanceId id;
  InstanceRole role = InstanceRole::kMixed;
  uint64_t epoch = 0;   // random per start
  std::string address;  // host:port
  uint64_t model_hash = 0;
  std::string numerics;  // instances of equal ones give equal tokens
  std::string compute;   // instances of equal ones are about equally fast
  KvLayout layout;

  int num_free_blocks = 0;
  int64_t num_queued_tokens = 0;    // prompt tokens still to be computed
  int num_queued_prompts = 0;       // that they belong to
  int num_requests = 0;             // decoding, receiving or announced
  int num_decoding = 0;             // of them, those that decode
  int64_t num_decoding_tokens = 0;  // of these, prompts and outputs so far
  StepLatency latency;
  int64_t num_steps = 0;   // that it is learnt from
  int chunk_tokens = 512;  // most of prompts in a step that also decodes
  int depth = 1;           // steps in flight at once; each takes as long as `latency` says
  bool healthy = true;
  bool draining = false;  // finishes what it has, takes nothing new
};

}  // namespace tandem
