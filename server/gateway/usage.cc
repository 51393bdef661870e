#include "server/gateway/usage.h"

#include "absl/algorithm/container.h"

namespace tandem {

Usage SumUsage(const PreparedRequest& prepared, int n,
               absl::Span<const GenerationSummary> summaries) {
  Usage usage;
  for (const PreparedPrompt& prompt : prepared.prompts) {
    usage.num_prompt_tokens += static_cast<int>(prompt.tokens->size());
  }
  for (size_t i = 0; i < summaries.size(); ++i) {
    usage.num_completion_tokens += summaries[i].num_completion_tokens;
    if (i % n == 0) usage.num_cached_tokens += summaries[i].num_cached_tokens;
  }
  return usage;
}

Metrics::RequestOutcome OutcomeOfRequest(const Usage& usage,
                                         absl::Span<const GenerationSummary> summaries,
                                         const absl::Status& status, absl::Time arrival,
                                         const Slo& slo) {
  // Of several samples the latest counts.
  const auto misses = [&summaries](auto time, absl::Duration target) {
    return absl::c_any_of(summaries,
                          [&](const GenerationSummary& summary) { return summary.*time > target; });
  };
  const bool is_cut_by_length = absl::c_any_of(summaries, [](const GenerationSummary& summary) {
    return summary.finish_reason == FinishReason::kLength;
  });
  return {.outcome = !status.ok() ? OutcomeOf(status) : (is_cut_by_length ? "length" : "stop"),
          .end_to_end = absl::Now() - arrival,
          .tpot = summaries.front().tpot,
          .num_prompt_tokens = usage.num_prompt_tokens,
          .num_cached_tokens = usage.num_cached_tokens,
          .num_completion_tokens = usage.num_completion_tokens,
          .slo_class = slo.label,
          .missed_ttft = misses(&GenerationSummary::ttft, slo.ttft),
          .missed_tpot = misses(&GenerationSummary::tpot, slo.tpot)};
}

}  // namespace tandem
