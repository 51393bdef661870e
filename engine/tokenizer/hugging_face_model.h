// Reads "model" of a tokenizer.json (vocabulary, merges or scores) and "post_processor".
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "engine/tokenizer/json_fields.h"
#include "engine/tokenizer/tokenizer_parts.h"

namespace tandem {

// Ids may have gaps, so the highest id decides how much memory a vocabulary takes.
inline constexpr int64_t kMaxTokens = int64_t{1} << 24;

// Where errors say that an added token is wrong.
inline constexpr absl::string_view kAddedTokens = "tokenizer.json: added_tokens";

// An entry of "added_tokens".
struct AddedEntry {
  AddedToken token;  // Its text as it is looked for.
  std::string content;
  bool normalized = false;  // Looked for in the normalised text.
};

// Fills parts->vocabulary from the model's tokens and the added ones. INVALID_ARGUMENT names the
// token where two claim one id or an id is not within [0, kMaxTokens).
absl::Status ReadVocabulary(const Json& model, absl::Span<const AddedEntry> added,
                            TokenizerParts* parts);

// Fills parts->model; the vocabulary must be there. INVALID_ARGUMENT names a bad field or merge.
absl::Status ReadModel(const Json& model, TokenizerParts* parts);

// Fills parts->prefix_ids and suffix_ids; `json` is null where there is no post-processor.
absl::Status ReadPostProcessor(const Json* json, TokenizerParts* parts);

}  // namespace tandem
