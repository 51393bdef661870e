// Log-probabilities of the model's own distribution, before any adjustment, as vLLM reports them.
#pragma once

#include "absl/types/span.h"
#include "engine/core/batch.h"

namespace tandem {

// `token` with its log-probability and the `num_top` (or as many as there are) likeliest tokens,
// best first, equal ones by id. `logits` [vocab_size] are finite.
SampledToken ScoreToken(absl::Span<const float> logits, TokenId token, int num_top);

}  // namespace tandem
