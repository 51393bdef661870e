// Tokens that are cut out of a text before anything else is done with it: special tokens such as
// <|im_end|> and words added to a vocabulary after its training.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "engine/tokenizer/prefix_index.h"

namespace tandem {

struct AddedToken {
  int32_t id = 0;
  std::string text;
  bool special = false;
  bool single_word = false;  // Not within a word.
  bool lstrip = false;       // Takes the whitespace before it.
  bool rstrip = false;       // Takes the whitespace after it.
};

// Immutable and thread-safe.
class AddedTokens {
 public:
  // Either a token or text between tokens; a view into what was split.
  struct Fragment {
    absl::string_view text;
    std::optional<int32_t> id;
  };

  AddedTokens() = default;
  // Texts must be distinct and not empty.
  explicit AddedTokens(std::vector<AddedToken> tokens);

  // Cuts `text` at the longest token at each position, left to right. Without `parse_special`
  // special tokens stay text. No fragment is empty.
  std::vector<Fragment> Split(absl::string_view text, bool parse_special) const;

 private:
  // The longest token that `text` begins with, or null.
  const AddedToken* FindLongest(absl::string_view text) const;

  std::vector<AddedToken> tokens_;
  PrefixIndex index_;  // Values: positions in tokens_.
};

}  // namespace tandem
