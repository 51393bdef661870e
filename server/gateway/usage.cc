#include "server/gateway/usage.h"

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/core/log.h"

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
  // Of several samples the latest counts. What a client gives up without a first token has missed
  // its target once that has passed.
  const absl::Duration waited = absl::Now() - arrival;
  const bool missed_ttft = absl::c_any_of(summaries, [&](const GenerationSummary& summary) {
    const absl::Duration ttft = summary.latency.shown_ttft;
    const bool still_waits = !status.ok() && ttft == absl::ZeroDuration();
    return (still_waits ? waited : ttft) > slo.ttft;
  });
  const bool missed_tpot = absl::c_any_of(summaries, [&](const GenerationSummary& summary) {
    return summary.latency.shown_tpot > slo.tpot;
  });
  const bool is_cut_by_length = absl::c_any_of(summaries, [](const GenerationSummary& summary) {
    return summary.ending.reason == FinishReason::kLength;
  });
  return {.outcome = !status.ok() ? OutcomeOf(status) : (is_cut_by_length ? "length" : "stop"),
          .end_to_end = waited,
          .tpot = summaries.front().latency.tpot,
          .num_prompt_tokens = usage.num_prompt_tokens,
          .num_cached_tokens = usage.num_cached_tokens,
          .num_completion_tokens = usage.num_completion_tokens,
          .slo_class = slo.label,
          .missed_ttft = missed_ttft,
          .missed_tpot = missed_tpot};
}

void LogOutcome(absl::string_view request_id, const Metrics::RequestOutcome& outcome,
                const GenerationSummary& first, const absl::Status& status) {
  std::string line = absl::StrCat("request_id=", request_id, " outcome=", outcome.outcome,
                                  " path=", first.path.empty() ? "none" : first.path,
                                  " prompt_tokens=", outcome.num_prompt_tokens,
                                  " completion_tokens=", outcome.num_completion_tokens);
  if (first.latency.ttft > absl::ZeroDuration()) {
    absl::StrAppendFormat(&line, " ttft_ms=%.1f", absl::ToDoubleMilliseconds(first.latency.ttft));
  }
  if (first.latency.tpot > absl::ZeroDuration()) {
    absl::StrAppendFormat(&line, " tpot_ms=%.1f", absl::ToDoubleMilliseconds(first.latency.tpot));
  }
  if (!status.ok()) absl::StrAppend(&line, " status=", status.ToString());
  LOG(INFO) << line;
}

}  // namespace tandem
