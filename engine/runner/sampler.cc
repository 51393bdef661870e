#include "engine/runner/sampler.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "engine/runner/logit_adjustments.h"
#include "engine/runner/logprobs.h"
#include "engine/runner/philox.h"
#include "engine/runner/token_filter.h"

namespace tandem {
namespace {

// vLLM takes a temperature below the first for 0, and raises one below the second to it.
constexpr float kGreedyTemperature = 1e-5f;
constexpr float kLowestTemperature = 1e-2f;

TokenId ArgMax(absl::Span<const float> logits) {
  return static_cast<TokenId>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

// The candidate whose share of [0, 1), in the order given, contains `uniform`.
TokenId Draw(absl::Span<const Candidate> candidates, double uniform) {
  double total = 0;
  for (const Candidate& candidate : candidates) total += candidate.weight;
  double left = uniform * total;
  for (const Candidate& candidate : candidates) {
    left -= candidate.weight;
    if (left < 0) return candidate.token;
  }
  return candidates.back().token;  // uniform is next to 1 and rounding took the rest
}

}  // namespace

absl::Status CheckFinite(absl::Span<const float> logits) {
  for (size_t i = 0; i < logits.size(); ++i) {
    if (!std::isfinite(logits[i])) {
      return absl::InternalError(absl::StrCat("logit of token ", i, " is ", logits[i]));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<SampledToken> SampleToken(absl::Span<const float> logits,
                                         absl::Span<const TokenId> tokens, int num_prompt_tokens,
                                         const SamplingParams& params) {
  RETURN_IF_ERROR(CheckFinite(logits));
  std::vector<float> adjusted(logits.begin(), logits.end());
  AdjustLogits(params, tokens.first(num_prompt_tokens), tokens.subspan(num_prompt_tokens),
               absl::MakeSpan(adjusted));
  TokenId token = ArgMax(adjusted);
  if (!std::isfinite(adjusted[token])) {
    return absl::InvalidArgumentError(absl::StrCat(
        "min_tokens, logit_bias and repetition_penalty leave no token with a finite logit: the "
        "largest is ",
        adjusted[token]));
  }
  if (params.temperature >= kGreedyTemperature) {
    TokenFilterParams filter;
    filter.temperature = std::max(params.temperature, kLowestTemperature);
    filter.min_p = params.min_p;
    filter.top_k = params.top_k;
    filter.top_p = params.top_p;
    token = Draw(FilterTokens(adjusted, filter),
                 UniformDraw(params.seed, params.sample_index, tokens.size()));
  }
  if (params.num_logprobs >= 0) return ScoreToken(logits, token, params.num_logprobs);
  SampledToken sampled;
  sampled.token = token;
  return sampled;
}

}  // namespace tandem
