// The unigram language model (Kudo 2018, "Subword Regularization", section 3.2): the segmentation
// with the highest sum of log probabilities, found by the Viterbi algorithm.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/tokenizer/prefix_index.h"
#include "engine/tokenizer/token_model.h"

namespace tandem {

class UnigramModel : public TokenModel {
 public:
  // `vocabulary` must outlive the model; its scores are log probabilities.
  UnigramModel(const Vocabulary& vocabulary, const UnknownPolicy& unknown);

  // O(n * length of the longest token).
  void Encode(absl::string_view piece, std::vector<int32_t>* ids) const override;

 private:
  // The best segmentation of the bytes up to a position: where its last token begins, and which it
  // is (-1: a character that no token covers).
  struct Step {
    double score = 0;
    int64_t begin = -1;  // -1: not reached yet.
    int32_t id = -1;
  };
  std::vector<Step> FindBestPath(absl::string_view piece) const;

  const Vocabulary& vocabulary_;
  const UnknownPolicy unknown_;
  PrefixIndex index_;
  double unknown_score_ = 0;
};

}  // namespace tandem
