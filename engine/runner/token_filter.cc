#include "engine/runner/token_filter.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

namespace tandem {
namespace {

// The k-th largest logit; top-k keeps this and what is above. One pass over a heap of k.
float TopKThreshold(absl::Span<const float> logits, int k) {
  std::vector<float> largest(k);
  std::partial_sort_copy(logits.begin(), logits.end(), largest.begin(), largest.end(),
                         std::greater<float>());
  return largest.back();
}

// Likelier first, equal ones by id: a total order, so that the nucleus is unique.
bool Likelier(const Candidate& a, const Candidate& b) {
  return a.weight > b.weight || (a.weight == b.weight && a.token < b.token);
}

double TotalWeight(absl::Span<const Candidate> candidates) {
  double total = 0;
  for (const Candidate& candidate : candidates) total += candidate.weight;
  return total;
}

// The least likely member of the nucleus: the first candidate, likeliest first, with which the
// running sum reaches `mass`. Halves the range in question each time, as quickselect does.
Candidate NucleusEdge(std::vector<Candidate> candidates, double mass) {
  auto begin = candidates.begin();
  auto end = candidates.end();
  while (end - begin > 1) {
    const auto middle = begin + (end - begin) / 2;
    std::nth_element(begin, middle, end, Likelier);
    const double upper = TotalWeight(absl::MakeConstSpan(&*begin, middle - begin));
    if (upper >= mass) {
      end = middle;
    } else {
      mass -= upper;
      begin = middle;
    }
  }
  return *begin;
}

void KeepNucleus(float top_p, std::vector<Candidate>& candidates) {
  const double total = TotalWeight(candidates);
  // All candidates below this weight together hold less than the share that top-p drops, so the
  // search for the edge may leave them out: the long tail of a vocabulary. The likeliest, of weight
  // 1, stays even where the quotient rounds up.
  const double tail = std::min(1.0, (1.0 - top_p) * total / static_cast<double>(candidates.size()));
  std::vector<Candidate> likely;
  for (const Candidate& candidate : candidates) {
    if (candidate.weight >= tail) likely.push_back(candidate);
  }
  const Candidate edge = NucleusEdge(std::move(likely), top_p * total);
  candidates.erase(std::remove_if(candidates.begin(), candidates.end(),
                                  [&](const Candidate& c) { return Likelier(edge, c); }),
                   candidates.end());
}

}  // namespace

void FilterTokens(absl::Span<const float> logits, const TokenFilterParams& params,
                  std::vector<Candidate>& candidates) {
  const float largest = *std::max_element(logits.begin(), logits.end());
  float threshold = -std::numeric_limits<float>::infinity();
  if (params.min_p > 0) threshold = largest + params.temperature * std::log(params.min_p);
  if (params.top_k > 0 && params.top_k < static_cast<int>(logits.size())) {
    // The k-th of all tokens is the k-th of min-p's survivors, or below them all.
    threshold = std::max(threshold, TopKThreshold(logits, params.top_k));
  }
  candidates.clear();
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] < threshold) continue;
    const float weight = std::exp((logits[i] - largest) / params.temperature);
    if (weight > 0) candidates.push_back({static_cast<TokenId>(i), weight});
  }
  if (params.top_p < 1) KeepNucleus(params.top_p, candidates);
}

}  // namespace tandem
