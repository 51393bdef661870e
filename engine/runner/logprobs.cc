#include "engine/runner/logprobs.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace tandem {
namespace {

// log(sum(exp(logits))): what a logit lacks to its log-probability.
double LogSumExp(absl::Span<const float> logits) {
  const float largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (float logit : logits) sum += std::exp(logit - largest);
  return largest + std::log(sum);
}

// The `count` best of `logits`, best first: one pass with a heap of that size, whose top is the
// worst kept.
std::vector<TokenLogprob> LargestLogits(absl::Span<const float> logits, size_t count) {
  const auto better = [](const TokenLogprob& a, const TokenLogprob& b) {
    return a.logprob > b.logprob || (a.logprob == b.logprob && a.token < b.token);
  };
  std::vector<TokenLogprob> best;
  if (count == 0) return best;
  best.reserve(count);
  for (size_t i = 0; i < logits.size(); ++i) {
    const TokenLogprob candidate{static_cast<TokenId>(i), logits[i]};
    if (best.size() == count) {
      if (!better(candidate, best.front())) continue;
      std::pop_heap(best.begin(), best.end(), better);
      best.pop_back();
    }
    best.push_back(candidate);
    std::push_heap(best.begin(), best.end(), better);
  }
  std::sort_heap(best.begin(), best.end(), better);
  return best;
}

}  // namespace

SampledToken ScoreToken(absl::Span<const float> logits, TokenId token, int num_top) {
  const double log_sum = LogSumExp(logits);
  SampledToken scored;
  scored.token = token;
  scored.logprob = static_cast<float>(logits[token] - log_sum);
  scored.top = LargestLogits(logits, std::min<size_t>(std::max(num_top, 0), logits.size()));
  for (TokenLogprob& alternative : scored.top) {
    alternative.logprob = static_cast<float>(alternative.logprob - log_sum);
  }
  return scored;
}

}  // namespace tandem
