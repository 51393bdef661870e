#include "server/gateway/output_text.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace tandem {

OutputText::OutputText(const Tokenizer& tokenizer, const Options& options)
    :  // The answer continues the prompt's text: its first token keeps the space in front.
      detokenizer_(tokenizer,
                   {.skip_special = options.skip_special_tokens, .at_text_start = false}),
      matcher_(options.stop_strings, options.include_stop_str_in_output) {}

OutputText::Piece OutputText::Append(TokenId token, bool may_stop) {
  return matcher_.Append(detokenizer_.Add(token), may_stop);
}

OutputText::Piece OutputText::Finish() {
  Piece piece = matcher_.Append(detokenizer_.Flush());
  if (!piece.matched) piece.text += matcher_.Flush();
  return piece;
}

}  // namespace tandem
