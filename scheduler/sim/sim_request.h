// One request of a simulation on its way through the cluster.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "engine/core/ids.h"
#include "engine/core/request.h"
#include "scheduler/sim/fabric.h"
#include "scheduler/sim/simulation.h"
#include "scheduler/sim/slo_report.h"
#include "scheduler/sim/workload.h"

namespace tandem {

// The KV of a prompt on its way from the prefill to the decode instance.
struct SimHandoff {
  std::optional<Fabric::FlowId> flow;  // once the decode instance has room
  bool begun = false;                  // at the prefill instance
  int num_tokens = 0;                  // to be stored at the decode instance
  int num_stored = 0;                  // positions that the prefill instance has
  int num_given = 0;                   // positions given to the flow, or at the decode instance
  int num_computing = 0;               // positions that it will have at step_end
  absl::Time step_end = absl::InfinitePast();
  std::optional<TokenId> first_token;
  bool offered = false;  // the news that all is there is on its way
};

struct SimRequest {
  static constexpr int kNobody = -1;
  static constexpr uint32_t kAnyAttempt = 0xffffffff;  // in searches

  int index = 0;  // in the workload
  RequestId id;   // from the first route on
  uint32_t attempt = 0;
  int prefill = kNobody;  // instance; nobody: `decode` does it itself
  int decode = kNobody;   // instance; nobody: not routed
  uint64_t prefill_epoch = 0, decode_epoch = 0;
  std::vector<std::pair<InstanceId, uint64_t>> avoid;
  std::string numerics;
  absl::Time give_up = absl::InfiniteFuture();

  SimHandoff handoff;
  int num_received = 0;  // tokens that the client has, or that are on their way to it
  int num_cached_tokens = 0;
  bool cancelled = false;
  std::vector<double> token_gaps_ms;

  // Infinite past: has not happened.
  absl::Time arrival = absl::InfinitePast();
  absl::Time accepted = absl::InfinitePast();  // by the worker that prefills
  absl::Time begun = absl::InfinitePast();
  absl::Time first_drawn = absl::InfinitePast();
  absl::Time kv_complete = absl::InfinitePast();
  absl::Time first_token = absl::InfinitePast();  // at the client
  absl::Time last_token = absl::InfinitePast();
};

inline bool HasHappened(absl::Time time) { return time != absl::InfinitePast(); }

// What ends every simulated answer.
inline constexpr TokenId kSimEndToken = 0;

// The `position`-th output token of request `index`, never the end token.
TokenId SimOutputToken(uint64_t seed, int index, int position);

// The prompt of request `index`, with the content that `timed.block_ids` say, block_tokens each.
std::vector<TokenId> SimPrompt(int index, const TimedRequest& timed, int block_tokens);

// As the workers get it: `num_received` tokens of its answer are there already, and its sampling
// seed is `request.index`.
Request MakeSimRequest(const SimRequest& request, const TimedRequest& timed, int block_tokens,
                       int max_tokens, uint64_t seed);

// What there is to tell of a request that ends at `now`, its outcome apart. Moves its gaps.
void FillRecord(SimRequest& request, absl::Time now, RequestRecord* record);

// Where the time of a served request went.
StageTimes StagesOf(const SimRequest& request);

}  // namespace tandem
