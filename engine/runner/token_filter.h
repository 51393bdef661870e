// Min-p, top-k and top-p: which tokens may be drawn, and how likely each is.
#pragma once

#include <vector>

#include "absl/types/span.h"
#include "engine/core/ids.h"

namespace tandem {

struct TokenFilterParams {
  float temperature = 1.0f;  // above 0
  float min_p = 0.0f;        // in [0, 1]; 0: off
  int top_k = 0;             // 0: off
  float top_p = 1.0f;        // in (0, 1]; 1: off
};

// A token that passed, with its unnormalised probability (the likeliest token's is 1).
struct Candidate {
  TokenId token = 0;
  float weight = 0;
};

// Finds the tokens that pass every filter, in order of their ids. With p = softmax(logits /
// temperature):
// - min-p keeps p[i] >= min_p * max(p);
// - top-k keeps what is not smaller than the k-th largest logit, so equal ones may exceed k;
// - top-p keeps the likeliest of what is left (equal ones by id) until their share of it reaches
//   top_p, and at least one.
// Costs a few passes over the vocabulary; it is never sorted. The largest of `logits` is finite;
// -infinity marks a token that cannot be drawn.
// Replaces the contents of `candidates`, whose memory is worth keeping from token to token.
void FilterTokens(absl::Span<const float> logits, const TokenFilterParams& params,
                  std::vector<Candidate>& candidates);

}  // namespace tandem
