// Tokens that end a model's turn, known by their names: files name one eos token, but a chat model
// ends its turns with another, and many files do not say so.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/strings/string_view.h"
#include "engine/tokenizer/vocabulary.h"

namespace tandem {

// True for "<|im_end|>", "<|eot_id|>", "<end_of_turn>" and their like.
bool IsEndOfTurnName(absl::string_view text);

// `named` (by the file) and every control token with such a name, ascending.
std::vector<int32_t> FindEndOfTurnIds(const Vocabulary& vocabulary, std::vector<int32_t> named);

}  // namespace tandem
