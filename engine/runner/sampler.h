// Chooses the next token of a sequence from its logits.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/core/batch.h"
#include "engine/core/sampling_params.h"
#include "engine/runner/token_filter.h"

namespace tandem {

// INTERNAL, with the first offender, unless all of `logits` are finite.
absl::Status CheckFinite(absl::Span<const float> logits);

// Keeps buffers from token to token; one caller at a time. Nothing else is remembered.
class Sampler {
 public:
  // The token after `tokens` (prompt, then output). Adjusts the logits (logit_adjustments.h), then
  // takes the largest (temperature 0; of equal ones the lowest id) or draws from those that pass
  // the filters (token_filter.h). The draw is a function of (seed, sample_index, tokens.size()) and
  // the logits [vocab_size] alone. Log-probabilities are filled where params.num_logprobs >= 0.
  // INTERNAL: the logits are not finite; INVALID_ARGUMENT: the parameters leave nothing to draw.
  absl::StatusOr<SampledToken> Sample(absl::Span<const float> logits,
                                      absl::Span<const TokenId> tokens, int num_prompt_tokens,
                                      const SamplingParams& params);

 private:
  std::vector<float> adjusted_;        // [vocab_size]
  std::vector<Candidate> candidates_;  // what may be drawn
};

}  // namespace tandem
