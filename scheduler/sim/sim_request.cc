#include "scheduler/sim/sim_request.h"

#include <algorithm>

#include "engine/core/prefix_key.h"
#include "scheduler/sim/random.h"

namespace tandem {
namespace {

// Large enough that different contents hardly ever agree, and what fits a token id.
TokenId ToToken(uint64_t mixed) { return static_cast<TokenId>(1 + mixed % 0x3fffffff); }

}  // namespace

TokenId SimOutputToken(uint64_t seed, int index, int position) {
  return ToToken(MixSeed(MixSeed(seed, index), position));
}

std::vector<TokenId> SimPrompt(int index, const TimedRequest& timed, int block_tokens) {
  std::vector<TokenId> prompt;
  prompt.reserve(timed.prompt_tokens);
  for (int i = 0; i < timed.prompt_tokens; ++i) {
    const size_t block = i / block_tokens;
    // A content of its own where the trace names none.
    const uint64_t content = block < timed.block_ids.size() ? MixSeed(1, timed.block_ids[block])
                                                            : MixSeed(MixSeed(2, index), block);
    prompt.push_back(ToToken(content + 0x9E3779B97F4A7C15u * (i % block_tokens + 1)));
  }
  return prompt;
}

Request MakeSimRequest(const SimRequest& state, const TimedRequest& timed, int block_tokens,
                       int max_tokens, uint64_t seed) {
  Request request;
  request.id = state.id;
  request.attempt = state.attempt;
  request.prompt = SimPrompt(state.index, timed, block_tokens);
  for (int i = 0; i < state.num_received; ++i) {
    request.generated.push_back(SimOutputToken(seed, state.index, i));
  }
  request.sampling.seed = state.index;
  request.sampling.max_tokens = std::max(timed.output_tokens, max_tokens);
  request.sampling.stop_token_ids = {kSimEndToken};
  request.tenant = HashName(timed.tenant);
  request.priority = timed.priority;
  request.arrival = state.arrival;
  if (timed.deadline != absl::InfiniteDuration()) {
    request.deadline = state.arrival + timed.deadline;
  }
  return request;
}

void FillRecord(SimRequest& request, absl::Time now, RequestRecord* record) {
  record->output_tokens = request.num_received;
  record->cached_tokens = request.num_cached_tokens;
  record->latency = now - request.arrival;
  record->token_gaps_ms = std::move(request.token_gaps_ms);
  if (record->outcome != RequestRecord::Outcome::kServed) return;
  record->ttft = request.first_token - request.arrival;
  record->latency = request.last_token - request.arrival;
  record->path = request.attempt > 0                ? "migrated"
                 : HasHappened(request.kv_complete) ? "disaggregated"
                                                    : "local";
}

StageTimes StagesOf(const SimRequest& request) {
  const absl::Time arrived =
      HasHappened(request.kv_complete) ? request.kv_complete : request.first_drawn;
  return {.route = request.accepted - request.arrival,
          .prefill_queue = request.begun - request.accepted,
          .prefill = request.first_drawn - request.begun,
          .transfer = arrived - request.first_drawn,
          .decode = request.last_token - arrived};
}

}  // namespace tandem
