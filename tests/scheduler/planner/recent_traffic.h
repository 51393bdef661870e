// Traffic and instances for tests of planning.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "scheduler/planner/planned_instance.h"
#include "scheduler/planner/traffic_profile.h"
#include "scheduler/sim/random.h"

namespace tandem::testing {

inline const absl::Time kTrafficStart = absl::FromUnixSeconds(10000);

struct TrafficShape {
  double rate = 4;  // requests per second, a Poisson process
  double prompt_tokens = 200;
  double output_tokens = 20;  // lengths are within half and one and a half of these, evenly
  double cached_share = 0;    // of each prompt
  SloTargets targets = {.ttft = absl::Seconds(1), .tpot = absl::Milliseconds(50)};
  absl::Duration ttft = absl::Milliseconds(300);  // as measured
};

// Feeds a profile with requests that are served at once.
class TrafficSource {
 public:
  explicit TrafficSource(uint64_t seed) : random_(seed) {}

  void Feed(const TrafficShape& shape, absl::Duration length, TrafficProfile& profile) {
    const absl::Time end = now_ + length;
    while (true) {
      next_ = std::max(next_, now_) + absl::Seconds(random_.Exponential() / shape.rate);
      if (next_ >= end) break;
      now_ = next_;
      const RequestId id(++last_id_);
      TrafficRequest request{.id = id, .arrival = now_, .targets = shape.targets};
      request.prompt_tokens = Length(shape.prompt_tokens);
      profile.Arrive(request);
      TrafficOutcome outcome{.kind = TrafficOutcome::Kind::kServed};
      outcome.output_tokens = Length(shape.output_tokens);
      outcome.cached_tokens = static_cast<int>(shape.cached_share * request.prompt_tokens);
      outcome.ttft = shape.ttft;
      outcome.tpot = absl::Milliseconds(10);
      profile.End(id, outcome);
    }
    now_ = next_ = end;  // without memory, so a Poisson process may be cut
  }

  absl::Time now() const { return now_; }

 private:
  int Length(double mean) {
    return std::max(1, static_cast<int>(std::lround(mean * (0.5 + random_.Uniform()))));
  }

  Random random_;
  absl::Time now_ = kTrafficStart, next_ = kTrafficStart;
  uint64_t last_id_ = 0;
};

// A prefill takes 1 ms per token, and a step of decoding 10 ms and 1 ms for each row.
inline PlannedInstance MakeInstance(InstanceRole role, const std::string& id) {
  PlannedInstance instance;
  instance.view.id = InstanceId(id);
  instance.view.role = role;
  instance.view.epoch = 7;
  instance.view.compute = "alike";
  instance.view.layout = {
      .num_layers = 4, .num_kv_heads = 1, .head_dim = 64, .block_size = 16, .dtype = DType::kF16};
  instance.view.latency = {.knows_prefill = true,
                           .knows_decode = true,
                           .coefficients = {.prefill = {2, 1, 0}, .decode = {10, 0, 1}}};
  instance.scheduler = {.num_blocks = 2000, .max_model_len = 8192};
  return instance;
}

// "ppd": two prefill and one decode instance, named p0, p1 and d2.
inline std::vector<PlannedInstance> MakeInstances(const std::string& roles) {
  std::vector<PlannedInstance> instances;
  for (const char role : roles) {
    instances.push_back(MakeInstance(role == 'p'   ? InstanceRole::kPrefill
                                     : role == 'd' ? InstanceRole::kDecode
                                                   : InstanceRole::kMixed,
                                     absl::StrCat(std::string(1, role), instances.size())));
  }
  return instances;
}

}  // namespace tandem::testing
