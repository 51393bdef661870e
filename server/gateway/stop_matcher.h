// Finds stop strings in text that arrives in pieces, and holds back what may become one.
//
//   StopMatcher matcher({"\n\n", "User:"}, /*include_in_output=*/false);
//   StopMatcher::Output out = matcher.Append("Hello\n");  // out.text == "Hello"; "\n" is held back
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace tandem {

// The text ends at the first byte at which any stop string is complete; of several that end there,
// the longest counts. So the result does not depend on how the text was cut into pieces. Each stop
// string is a Knuth-Morris-Pratt automaton: a byte costs amortised constant time per stop string.
class StopMatcher {
 public:
  struct Output {
    std::string text;                    // final: may be shown
    std::optional<std::string> matched;  // the stop string; nothing more may be appended after it
  };

  // Empty strings never match. `include_in_output` puts the stop string into the text.
  StopMatcher(const std::vector<std::string>& stop_strings, bool include_in_output);

  // Takes the next piece. With `may_match` false (before min_tokens) the piece passes through, and
  // no stop string may contain a part of it.
  Output Append(absl::string_view piece, bool may_match = true);

  // The text ends here: gives out what was held back.
  std::string Flush();

 private:
  struct Automaton {
    std::string stop_string;
    std::vector<size_t> fallback;  // [length]: longest proper border of each prefix
    size_t num_matched = 0;        // longest prefix that the text ends with
  };

  static Automaton MakeAutomaton(const std::string& stop_string);
  static bool Advance(Automaton& automaton, char byte);

  const bool include_in_output_;
  std::vector<Automaton> automata_;
  std::string held_;  // the longest end of the text that a stop string starts with
};

}  // namespace tandem
