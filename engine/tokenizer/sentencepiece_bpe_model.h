// Byte-pair encoding as SentencePiece does it: of all neighbours whose union is a token, the pair
// with the highest score is merged (Kudo and Richardson 2018, "SentencePiece", section 3.1). GGUF
// calls it "llama".
#pragma once

#include <cstdint>
#include <vector>

#include "engine/tokenizer/token_model.h"

namespace tandem {

class SentencePieceBpeModel : public TokenModel {
 public:
  // `vocabulary` must outlive the model.
  SentencePieceBpeModel(const Vocabulary& vocabulary, const UnknownPolicy& unknown);

  void Encode(absl::string_view piece, std::vector<int32_t>* ids) const override;

 private:
  const Vocabulary& vocabulary_;
  const UnknownPolicy unknown_;
  size_t max_token_bytes_ = 0;
};

}  // namespace tandem
