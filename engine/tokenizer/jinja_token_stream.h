// The tokens of a template with a position, and what both halves of the parser ask of it.
#pragma once

#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/tokenizer/jinja_lexer.h"

namespace tandem::jinja {

class TokenStream {
 public:
  // `tokens` ends with kEnd, on which the stream stays.
  explicit TokenStream(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& current() const { return tokens_[position_]; }
  const Token& next() const { return tokens_[std::min(position_ + 1, tokens_.size() - 1)]; }
  int line() const { return current().line; }

  // Returns the current token and moves on.
  const Token& Take() {
    const Token& token = current();
    position_ = std::min(position_ + 1, tokens_.size() - 1);
    return token;
  }

  // Moves past the token if it is the one.
  bool TakeOperator(absl::string_view symbol) { return TakeIf(current().IsOperator(symbol)); }
  bool TakeName(absl::string_view name) { return TakeIf(current().IsName(name)); }

  // INVALID_ARGUMENT where the current token is another.
  absl::Status ExpectOperator(absl::string_view symbol) {
    return TakeOperator(symbol) ? absl::OkStatus() : Unexpected(symbol);
  }
  absl::Status ExpectBlockEnd() {
    return TakeIf(current().type == TokenType::kBlockEnd) ? absl::OkStatus()
                                                          : Unexpected("end of statement block");
  }
  absl::StatusOr<std::string> ExpectName() {
    if (current().type != TokenType::kName) return Unexpected("name");
    return Take().text;
  }

  // The error that another token was wanted.
  absl::Status Unexpected(absl::string_view expected) const;

 private:
  bool TakeIf(bool condition) {
    if (condition) Take();
    return condition;
  }

  std::vector<Token> tokens_;
  size_t position_ = 0;
};

}  // namespace tandem::jinja
