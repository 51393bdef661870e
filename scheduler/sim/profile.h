// The file that `tandem profile` writes, or a running cluster of itself (GET /admin/v1/profile),
// and the simulator reads: what one instance of a model costs on one device, for each way of
// dividing it into ranks.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "scheduler/latency_model.h"
#include "scheduler/sim/request_path.h"
#include "scheduler/sim/step_scatter.h"

namespace tandem {

struct InstanceProfile {
  std::string model;
  std::string device;
  int tp = 1;
  int pp = 1;
  int threads = 0;                 // of each rank; 0: not known
  LatencyCoefficients latency;     // of a whole step, through all stages
  double mean_error = 0;           // of the fit: mean of |foreseen / measured - 1|
  double max_error = 0;            // 0: not known
  StepScatter scatter;             // of serving; none: not known
  StepCounts steps;                // of serving, that it was learnt from; none: measured otherwise
  int block_size = 16;             // tokens
  int64_t num_kv_tokens = 0;       // capacity of its pool; 0: not known
  int64_t kv_bytes_per_token = 0;  // of all layers; 0: not known
  int num_layers = 1;              // whose KV is sent as soon as each has computed it
  int64_t weight_bytes = 0;        // of all ranks; 0: not known
  int max_num_batched_tokens = 512;
  int prefill_batch_tokens = 0;  // prompt tokens that fill a step; 0: not known
};

struct Profile {
  std::vector<InstanceProfile> instances;
  std::optional<RequestPath> path;  // of requests through a cluster of them; nothing: not known
};

// {"tandem_profile":1,"instances":[{"model":"","device":"","tp":1,"pp":1,"latency":{..},..}],
// "path":{"ingress_ms":0.2,..}}.
nlohmann::ordered_json ProfileJson(const Profile& profile);

// What ProfileJson makes; keys that are not known are passed over. INVALID_ARGUMENT names what is
// missing or makes no sense.
absl::StatusOr<Profile> ParseProfile(absl::string_view text);

// The first instance of `tp` x `pp` ranks with `threads` of each, or any where that is 0. NOT_FOUND
// names those that there are.
absl::StatusOr<InstanceProfile> FindProfile(const std::vector<InstanceProfile>& instances, int tp,
                                            int pp, int threads = 0);

}  // namespace tandem
