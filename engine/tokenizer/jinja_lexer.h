// Splits the source of a template into tokens, with the whitespace rules that chat templates are
// written for: trim_blocks, lstrip_blocks, and one newline at the end of the source dropped.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/tokenizer/jinja_value.h"

namespace tandem::jinja {

enum class TokenType {
  kData,           // text outside of tags
  kVariableBegin,  // {{
  kVariableEnd,    // }}
  kBlockBegin,     // {%
  kBlockEnd,       // %}
  kName,
  kString,
  kInteger,
  kFloat,
  kOperator,
  kEnd,
};

struct Token {
  TokenType type = TokenType::kEnd;
  int line = 0;         // from 1
  std::string text;     // data, name, decoded string or operator
  Integer integer = 0;  // of kInteger
  double number = 0;    // of kFloat

  bool IsOperator(absl::string_view symbol) const {
    return type == TokenType::kOperator && text == symbol;
  }
  bool IsName(absl::string_view name) const { return type == TokenType::kName && text == name; }
};

// All tokens, ending with kEnd. INVALID_ARGUMENT names the line, for example for a tag that is not
// closed or a character that no token begins with.
absl::StatusOr<std::vector<Token>> Tokenize(absl::string_view source);

// How a message shows the token: 'endfor', 'end of template'...
std::string DescribeToken(const Token& token);

// Errors of lexer and parser: the message with the line before it.
absl::Status SyntaxError(int line, absl::string_view message);

}  // namespace tandem::jinja
