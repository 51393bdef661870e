// Turns the tokens of one sample into text that may be shown: whole UTF-8 sequences only, and
// nothing that may still become part of a stop string.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/core/ids.h"
#include "engine/tokenizer/incremental_detokenizer.h"
#include "engine/tokenizer/tokenizer.h"
#include "server/gateway/stop_matcher.h"

namespace tandem {

class OutputText {
 public:
  struct Options {
    std::vector<std::string> stop_strings;
    bool include_stop_str_in_output = false;
    bool skip_special_tokens = true;
  };
  using Piece = StopMatcher::Output;

  // `tokenizer` outlives it.
  OutputText(const Tokenizer& tokenizer, const Options& options);

  // `may_stop` is false before min_tokens: no stop string may contain a part of this token.
  Piece Append(TokenId token, bool may_stop);

  // The answer ends here: what was held back, with U+FFFD for a cut sequence.
  Piece Finish();

 private:
  IncrementalDetokenizer detokenizer_;
  StopMatcher matcher_;
};

}  // namespace tandem
