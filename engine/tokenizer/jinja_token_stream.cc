#include "engine/tokenizer/jinja_token_stream.h"

#include "absl/strings/str_cat.h"

namespace tandem::jinja {

absl::Status TokenStream::Unexpected(absl::string_view expected) const {
  if (current().type == TokenType::kEnd) {
    return SyntaxError(line(),
                       absl::StrCat("unexpected end of template, expected '", expected, "'"));
  }
  return SyntaxError(line(), absl::StrCat("expected token '", expected, "', got '",
                                          DescribeToken(current()), "'"));
}

}  // namespace tandem::jinja
