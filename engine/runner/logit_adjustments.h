// What changes a sequence's logits before a token is chosen, greedily or not: masks, biases and
// penalties, with vLLM's meaning and in vLLM's order.
#pragma once

#include "absl/types/span.h"
#include "engine/core/ids.h"
#include "engine/core/sampling_params.h"

namespace tandem {

// Applies to `logits` [vocab_size] in place, in this order:
// 1. stop tokens are masked (-infinity) while the output is shorter than min_tokens;
// 2. logit_bias is added;
// 3. repetition_penalty, on every token of prompt or output: divides a positive logit, multiplies
//    another;
// 4. frequency_penalty times its count in the output, and presence_penalty where it occurs there,
//    are subtracted.
// All ids are within the vocabulary.
void AdjustLogits(const SamplingParams& params, absl::Span<const TokenId> prompt,
                  absl::Span<const TokenId> output, absl::Span<float> logits);

}  // namespace tandem
