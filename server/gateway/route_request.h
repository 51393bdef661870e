// What the scheduler is asked for a sample's workers, and told when it has left them.
#pragma once

#include <cstdint>
#include <set>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "proto/scheduler.pb.h"
#include "server/gateway/generation.h"

namespace tandem {

// For the prompt and the tokens so far: how long they are, the keys that their KV is found by in
// workers with these block sizes, and what is left of the targets at `now`. Once there is a token,
// only the time per token is still to be met.
v1::RouteRequest MakeRouteRequest(const GenerationRequest& request,
                                  absl::Span<const uint32_t> tokens,
                                  const std::set<int>& block_sizes, absl::Time now);

v1::CompleteRequest MakeCompletion(uint64_t request_id, v1::RequestReport::Outcome outcome,
                                   const GenerationSummary& summary);

}  // namespace tandem
