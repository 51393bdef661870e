// The tokens of a model: text, kind and score by id, and id by text.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace tandem {

// Numbered as SentencePiece and GGUF's `tokenizer.ggml.token_type` do.
enum class TokenKind : uint8_t {
  kUndefined = 0,    // An id that no token has.
  kNormal = 1,       // Part of the model.
  kUnknown = 2,      // Stands for text that no token covers.
  kControl = 3,      // Structure such as <s>; text never becomes one unless specials are parsed.
  kUserDefined = 4,  // Added text that is always one token.
  kUnused = 5,
  kByte = 6,  // <0xNN>
};

struct Token {
  std::string text;      // As the vocabulary writes it, not as the bytes it stands for.
  std::string found_as;  // Where not empty: what text it was found as, so what it is decoded from.
  double score = 0;  // Unigram: log probability. SentencePiece BPE: the higher, the earlier merged.
  TokenKind kind = TokenKind::kUndefined;
  bool in_model = false;  // The model may produce it from text by itself.
};

// Immutable and thread-safe.
class Vocabulary {
 public:
  // Tokens by id. INVALID_ARGUMENT where there are none or two have one text (empty texts aside).
  static absl::StatusOr<std::unique_ptr<const Vocabulary>> Create(std::vector<Token> tokens);

  Vocabulary(const Vocabulary&) = delete;
  Vocabulary& operator=(const Vocabulary&) = delete;

  int32_t size() const { return static_cast<int32_t>(tokens_.size()); }
  bool Contains(int64_t id) const { return id >= 0 && id < size(); }
  // `id` must be contained.
  const Token& at(int32_t id) const { return tokens_[id]; }
  absl::Span<const Token> tokens() const { return tokens_; }

  // Id of the token with exactly this text.
  std::optional<int32_t> Find(absl::string_view text) const;
  // The same, only among the tokens that the model itself may produce.
  std::optional<int32_t> FindInModel(absl::string_view text) const;
  // The token <0xNN>.
  std::optional<int32_t> FindByte(uint8_t byte) const { return byte_ids_[byte]; }

 private:
  explicit Vocabulary(std::vector<Token> tokens);

  std::vector<Token> tokens_;
  absl::flat_hash_map<absl::string_view, int32_t> ids_;  // Views into tokens_.
  std::array<std::optional<int32_t>, 256> byte_ids_;
};

// The byte that "<0xNN>" names, if `text` has that form.
std::optional<uint8_t> ParseByteToken(absl::string_view text);

}  // namespace tandem
