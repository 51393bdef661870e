// What a tokeniser is made of, as the readers of GGUF metadata and of tokenizer.json deliver it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/core/metadata.h"
#include "engine/tokenizer/added_tokens.h"
#include "engine/tokenizer/normalizer.h"
#include "engine/tokenizer/pre_tokenizer.h"
#include "engine/tokenizer/token_decoder.h"
#include "engine/tokenizer/token_model.h"
#include "engine/tokenizer/vocabulary.h"

namespace tandem {

// Text flows from top to bottom: raw_added cuts, normalizer, normalized_added cuts, pre_tokenizer,
// model; `decoder` is the way back.
struct TokenizerParts {
  std::unique_ptr<const Vocabulary> vocabulary;
  AddedTokens raw_added;  // Looked for in the text as it comes.
  Normalizer normalizer;
  AddedTokens normalized_added;  // Looked for in what the normaliser leaves.
  PreTokenizer pre_tokenizer;
  std::unique_ptr<const TokenModel> model;  // Refers to *vocabulary.
  TokenDecoder decoder;

  std::vector<int32_t> prefix_ids;  // Put around a text with add_special_tokens.
  std::vector<int32_t> suffix_ids;
  std::optional<int32_t> bos_id;
  std::optional<int32_t> eos_id;
  std::string bos_text;
  std::string eos_text;
  std::vector<int32_t> end_of_turn_ids;
  std::string chat_template;
};

// INVALID_ARGUMENT or NOT_FOUND names the key and the value; UNIMPLEMENTED the unsupported kind.
absl::StatusOr<TokenizerParts> ReadGgufTokenizer(const Metadata& metadata);
absl::StatusOr<TokenizerParts> ReadHuggingFaceTokenizer(absl::string_view tokenizer_json,
                                                        absl::string_view tokenizer_config_json,
                                                        absl::string_view generation_config_json);

}  // namespace tandem
