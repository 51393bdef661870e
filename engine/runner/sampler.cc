#include "engine/runner/sampler.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "absl/base/casts.h"
#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "engine/runner/logit_adjustments.h"
#include "engine/runner/logprobs.h"
#include "engine/runner/philox.h"

namespace tandem {
namespace {

// vLLM takes a temperature below the first for 0, and raises one below the second to it.
constexpr float kGreedyTemperature = 1e-5f;
constexpr float kLowestTemperature = 1e-2f;

// The lowest id among equal ones.
TokenId ArgMax(absl::Span<const float> logits) {
  size_t best = 0;
  float largest = logits[0];
  for (size_t i = 1; i < logits.size(); ++i) {
    if (logits[i] > largest) {
      largest = logits[i];
      best = i;
    }
  }
  return static_cast<TokenId>(best);
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
  // Ordered as integers, magnitudes stand below infinity, which stands below every NaN: one pass
  // without a branch, which runs on every row.
  uint32_t largest = 0;
  for (float logit : logits) {
    largest = std::max(largest, absl::bit_cast<uint32_t>(logit) & 0x7fffffffu);
  }
  constexpr uint32_t kInfinity = 0x7f800000u;
  if (largest < kInfinity) return absl::OkStatus();
  const auto bad = std::find_if_not(logits.begin(), logits.end(),
                                    [](float logit) { return std::isfinite(logit); });
  return absl::InternalError(absl::StrCat("logit of token ", bad - logits.begin(), " is ", *bad));
}

absl::StatusOr<SampledToken> Sampler::Sample(absl::Span<const float> logits,
                                             absl::Span<const TokenId> tokens,
                                             int num_prompt_tokens, const SamplingParams& params) {
  RETURN_IF_ERROR(CheckFinite(logits));
  adjusted_.assign(logits.begin(), logits.end());
  AdjustLogits(params, tokens.first(num_prompt_tokens), tokens.subspan(num_prompt_tokens),
               absl::MakeSpan(adjusted_));
  TokenId token = ArgMax(adjusted_);
  if (!std::isfinite(adjusted_[token])) {
    return absl::InvalidArgumentError(absl::StrCat(
        "min_tokens, logit_bias and repetition_penalty leave no token with a finite logit: the "
        "largest is ",
        adjusted_[token]));
  }
  if (params.temperature >= kGreedyTemperature) {
    TokenFilterParams filter;
    filter.temperature = std::max(params.temperature, kLowestTemperature);
    filter.min_p = params.min_p;
    filter.top_k = params.top_k;
    filter.top_p = params.top_p;
    FilterTokens(adjusted_, filter, candidates_);
    token = Draw(candidates_, UniformDraw(params.seed, params.sample_index, tokens.size()));
  }
  if (params.num_logprobs >= 0) return ScoreToken(logits, token, params.num_logprobs);
  SampledToken sampled;
  sampled.token = token;
  return sampled;
}

}  // namespace tandem
