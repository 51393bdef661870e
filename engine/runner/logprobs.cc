#include "engine/runner/logprobs.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace tandem {
namespace {

// log(softmax(logits)), one element at a time: (logit - largest) - log(sum(exp(logits - largest))).
class LogSoftmax {
 public:
  explicit LogSoftmax(absl::Span<const float> logits)
      : largest_(*std::max_element(logits.begin(), logits.end())) {
    double sum = 0;
    for (float logit : logits) sum += std::exp(logit - largest_);
    log_sum_ = std::log(sum);
  }

  float operator()(float logit) const {
    return static_cast<float>((double{logit} - largest_) - log_sum_);
  }

 private:
  float largest_;
  double log_sum_;
};

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
  const LogSoftmax log_softmax(logits);
  SampledToken scored;
  scored.token = token;
  scored.logprob = log_softmax(logits[token]);
  scored.top = LargestLogits(logits, std::min<size_t>(std::max(num_top, 0), logits.size()));
  for (TokenLogprob& alternative : scored.top) {
    alternative.logprob = log_softmax(alternative.logprob);
  }
  return scored;
}

}  // namespace tandem
