// What a request used, over all of its samples.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "server/gateway/generation.h"
#include "server/gateway/metrics.h"
#include "server/gateway/prepared_request.h"

namespace tandem {

struct Usage {
  int num_prompt_tokens = 0;
  int num_completion_tokens = 0;
  int num_cached_tokens = 0;
};

// `summaries` by sample, of which each prompt has `n`. Prompt tokens count once per prompt,
// whatever its number of samples.
Usage SumUsage(const PreparedRequest& prepared, int n,
               absl::Span<const GenerationSummary> summaries);

// What metrics count of a request that ends now with `status`, and was to meet `slo`.
Metrics::RequestOutcome OutcomeOfRequest(const Usage& usage,
                                         absl::Span<const GenerationSummary> summaries,
                                         const absl::Status& status, absl::Time arrival,
                                         const Slo& slo);

// One line, at INFO, for a request that ends: `first` is its first sample.
void LogOutcome(absl::string_view request_id, const Metrics::RequestOutcome& outcome,
                const GenerationSummary& first, const absl::Status& status);

}  // namespace tandem
