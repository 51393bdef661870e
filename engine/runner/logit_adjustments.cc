#include "engine/runner/logit_adjustments.h"

#include <limits>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"

namespace tandem {
namespace {

void PenalizeRepetition(float penalty, absl::Span<const TokenId> prompt,
                        absl::Span<const TokenId> output, absl::Span<float> logits) {
  absl::flat_hash_set<TokenId> seen(prompt.begin(), prompt.end());
  seen.insert(output.begin(), output.end());
  for (TokenId token : seen) {
    float& logit = logits[token];
    logit = logit > 0 ? logit / penalty : logit * penalty;
  }
}

void PenalizeOutput(float frequency_penalty, float presence_penalty,
                    absl::Span<const TokenId> output, absl::Span<float> logits) {
  absl::flat_hash_map<TokenId, int> counts;
  for (TokenId token : output) ++counts[token];
  for (const auto& [token, count] : counts) {
    logits[token] -= frequency_penalty * static_cast<float>(count);
    logits[token] -= presence_penalty;
  }
}

}  // namespace

void AdjustLogits(const SamplingParams& params, absl::Span<const TokenId> prompt,
                  absl::Span<const TokenId> output, absl::Span<float> logits) {
  if (static_cast<int>(output.size()) < params.min_tokens) {
    for (TokenId token : params.stop_token_ids) {
      logits[token] = -std::numeric_limits<float>::infinity();
    }
  }
  for (const auto& [token, bias] : params.logit_bias) logits[token] += bias;
  if (params.repetition_penalty != 1.0f) {
    PenalizeRepetition(params.repetition_penalty, prompt, output, logits);
  }
  if (params.frequency_penalty != 0.0f || params.presence_penalty != 0.0f) {
    PenalizeOutput(params.frequency_penalty, params.presence_penalty, output, logits);
  }
}

}  // namespace tandem
