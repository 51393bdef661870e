// The way back: one token -> the bytes it stands for. Everything is done token by token, so that
// a stream of tokens and the whole text come out alike.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"
#include "engine/tokenizer/vocabulary.h"

namespace tandem {

struct ByteLevelDecodeStep {};     // The byte alphabet, see byte_level.h; added tokens are as read.
struct ByteFallbackDecodeStep {};  // <0xNN> is that byte.
struct ReplaceDecodeStep {
  std::string text;
  std::string replacement;
};
struct StripDecodeStep {  // Up to `start` copies of `text` at a token's start, `stop` at its end.
  std::string text;
  int start = 0;
  int stop = 0;
};
struct MetaspaceDecodeStep {
  std::string replacement;  // Becomes a space,
  bool drop_first = true;   // but nothing in the first token of a text.
};

using DecodeStep = std::variant<ByteLevelDecodeStep, ByteFallbackDecodeStep, ReplaceDecodeStep,
                                StripDecodeStep, MetaspaceDecodeStep>;

// Immutable and thread-safe.
class TokenDecoder {
 public:
  // What is done to the text as a whole.
  struct TextRule {
    int num_leading_spaces = 0;  // So many spaces at the start of a text are dropped.
    std::string separator = "";  // Between tokens.
  };

  TokenDecoder() = default;
  TokenDecoder(std::vector<DecodeStep> steps, TextRule rule)
      : steps_(std::move(steps)), rule_(std::move(rule)) {}

  // Bytes of `token`; `is_first`: it begins a text. Without the text rule.
  std::string Decode(const Token& token, bool is_first) const;

  const TextRule& text_rule() const { return rule_; }

 private:
  std::vector<DecodeStep> steps_;
  TextRule rule_;
};

}  // namespace tandem
