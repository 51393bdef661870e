// Reads the stages of a tokenizer.json: "normalizer", "pre_tokenizer" and "decoder". The kinds and
// their fields are those of the library Hugging Face tokenizers.
#pragma once

#include "absl/status/statusor.h"
#include "engine/tokenizer/json_fields.h"
#include "engine/tokenizer/normalizer.h"
#include "engine/tokenizer/pre_tokenizer.h"
#include "engine/tokenizer/token_decoder.h"

namespace tandem {

// Each takes the object of that name, or null where tokenizer.json has none. INVALID_ARGUMENT names
// a bad field, UNIMPLEMENTED a kind that is not supported.
absl::StatusOr<Normalizer> ReadNormalizer(const Json* json);
absl::StatusOr<PreTokenizer> ReadPreTokenizer(const Json* json);
absl::StatusOr<TokenDecoder> ReadDecoder(const Json* json);

}  // namespace tandem
