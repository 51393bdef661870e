#include "server/gateway/route_request.h"

#include <algorithm>
#include <vector>

#include "engine/core/prefix_key.h"

namespace tandem {
namespace {

void AddPrefixes(const GenerationRequest& request, absl::Span<const uint32_t> tokens,
                 const std::set<int>& block_sizes, v1::RouteRequest& route) {
  // With log-probabilities of its own tokens a prompt is computed from the start.
  if (request.sampling.num_prompt_logprobs >= 0) return;
  std::vector<TokenId> replayed;
  absl::Span<const TokenId> all = *request.prompt;
  if (!tokens.empty()) {
    replayed = *request.prompt;
    replayed.insert(replayed.end(), tokens.begin(), tokens.end());
    all = replayed;
  }
  for (const int block_size : block_sizes) {
    const std::vector<uint64_t> keys = PrefixKeys(request.cache_salt, all, block_size);
    v1::PrefixKeys& prefixes = *route.add_prefixes();
    prefixes.set_block_size(block_size);
    prefixes.mutable_keys()->Add(keys.begin(), keys.end());
  }
}

}  // namespace

v1::RouteRequest MakeRouteRequest(const GenerationRequest& request,
                                  absl::Span<const uint32_t> tokens,
                                  const std::set<int>& block_sizes, absl::Time now) {
  v1::RouteRequest route;
  route.set_num_prompt_tokens(static_cast<int32_t>(request.prompt->size() + tokens.size()));
  route.set_max_tokens(request.sampling.max_tokens - static_cast<int32_t>(tokens.size()));
  route.set_priority(request.priority);
  route.set_model(request.model);
  AddPrefixes(request, tokens, block_sizes, route);
  route.set_reject_late(request.slo.reject_late);
  route.set_slo_class(request.slo.label);
  route.set_waited_ms(absl::ToDoubleMilliseconds(now - request.arrival));
  if (request.slo.tpot != absl::InfiniteDuration()) {
    route.set_tpot_target_ms(absl::ToDoubleMilliseconds(request.slo.tpot));
  }
  if (request.slo.ttft == absl::InfiniteDuration() || !tokens.empty()) return route;
  // 0 would be none.
  const absl::Duration left = request.arrival + request.slo.ttft - now;
  route.set_ttft_target_ms(absl::ToDoubleMilliseconds(std::max(left, absl::Nanoseconds(1))));
  return route;
}

v1::CompleteRequest MakeCompletion(uint64_t request_id, v1::RequestReport::Outcome outcome,
                                   const GenerationSummary& summary) {
  v1::CompleteRequest completion;
  completion.set_request_id(request_id);
  v1::RequestReport& report = *completion.mutable_report();
  report.set_outcome(outcome);
  report.set_output_tokens(summary.num_completion_tokens);
  report.set_cached_tokens(summary.num_cached_tokens);
  report.set_ttft_ms(absl::ToDoubleMilliseconds(summary.latency.ttft));
  report.set_tpot_ms(absl::ToDoubleMilliseconds(summary.latency.tpot));
  return completion;
}

}  // namespace tandem
