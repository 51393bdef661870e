// Text to token ids and back, for every tokeniser that a GGUF file or a Hugging Face folder brings:
// byte-level BPE, SentencePiece BPE and unigram.
//
//   ASSIGN_OR_RETURN(const auto tokenizer, Tokenizer::FromGguf(metadata));
//   ASSIGN_OR_RETURN(const std::vector<int32_t> ids, tokenizer->Encode("Hello", {}));
//   std::string text = tokenizer->Decode(ids, /*skip_special=*/true);
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "engine/core/metadata.h"

namespace tandem {

struct TokenizerParts;
class TokenDecoder;

struct EncodeOptions {
  // Puts in front and behind what the model was trained with, such as <s>. Not for a rendered chat
  // template, which writes them itself.
  bool add_special_tokens = true;
  // "<|im_end|>" in the text becomes the special token. False for text that a user may not turn
  // into structure. Added tokens that are not special are found either way.
  bool parse_special = true;
};

// Immutable; all methods are thread-safe.
class Tokenizer {
 public:
  // From the keys `tokenizer.ggml.*` and `tokenizer.chat_template`. NOT_FOUND or INVALID_ARGUMENT
  // names the key and the value; UNIMPLEMENTED a model or pre-tokeniser that is not supported.
  static absl::StatusOr<std::unique_ptr<const Tokenizer>> FromGguf(const Metadata& metadata);

  // From the contents of tokenizer.json; of tokenizer_config.json (may be empty: then there is no
  // chat template and no bos or eos); and of generation_config.json or config.json, whose
  // eos_token_id ends a turn too (may be empty: end-of-turn tokens are known by their names only).
  static absl::StatusOr<std::unique_ptr<const Tokenizer>> FromHuggingFace(
      absl::string_view tokenizer_json, absl::string_view tokenizer_config_json,
      absl::string_view generation_config_json = "");

  ~Tokenizer();
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  // Ids of `text`: any bytes, where invalid UTF-8 counts as U+FFFD. INVALID_ARGUMENT above 1 GiB;
  // RESOURCE_EXHAUSTED where the model's own pattern needs exponential time on this text.
  absl::StatusOr<std::vector<int32_t>> Encode(absl::string_view text,
                                              const EncodeOptions& options) const;

  // Text of `tokens`, valid UTF-8: bytes that are none become U+FFFD. Ids outside the vocabulary
  // have no text. `skip_special` leaves special tokens out.
  std::string Decode(absl::Span<const int32_t> tokens, bool skip_special) const;

  // The bytes that token `id` stands for within a text: " the" for U+0120 "the". Perhaps no UTF-8
  // by themselves. Empty outside the vocabulary.
  std::string TokenBytes(int32_t id) const;
  // The token as the vocabulary writes it. Empty outside the vocabulary.
  absl::string_view TokenText(int32_t id) const;
  // Id of the token that the vocabulary writes as `text`.
  std::optional<int32_t> FindToken(absl::string_view text) const;
  // True for control tokens, which are structure rather than text, and for the unknown token.
  bool IsSpecial(int32_t id) const;

  // Ids are 0..vocab_size()-1. The model may have more logits than that.
  int32_t vocab_size() const;
  std::optional<int32_t> bos_id() const;
  std::optional<int32_t> eos_id() const;
  // What a chat template calls bos_token and eos_token; empty where there is none.
  absl::string_view bos_text() const;
  absl::string_view eos_text() const;
  // Every token that ends a model's turn, ascending: eos, <|im_end|>, <|eot_id|>, ...
  absl::Span<const int32_t> EndOfTurnIds() const;
  // Source of the chat template, or empty.
  absl::string_view chat_template() const;

  // For IncrementalDetokenizer: bytes of token `id`, which begins a text if `is_first`, and what
  // applies to the text as a whole.
  std::string TokenBytes(int32_t id, bool is_first) const;
  const TokenDecoder& decoder() const;

 private:
  explicit Tokenizer(TokenizerParts parts);

  // Encodes what lies between raw added tokens. `at_start`: it begins the text.
  absl::Status EncodeFragment(absl::string_view text, bool at_start, bool parse_special,
                              std::vector<int32_t>* ids) const;

  const std::unique_ptr<const TokenizerParts> parts_;
};

}  // namespace tandem
