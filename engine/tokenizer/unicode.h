// Properties and normal forms of Unicode text, from utf8proc's tables.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace tandem {

// The four normal forms of Unicode (UAX #15): NFC, NFD, NFKC, NFKD.
struct UnicodeForm {
  bool compose = true;
  bool compatibility = false;
};

// `text` in that form. O(n log n) whatever the text: a run of a million combining marks is sorted,
// not bubbled. `text` must be valid UTF-8.
std::string NormalizeUnicode(absl::string_view text, UnicodeForm form);

// Each character in lower case by itself; what has no lower case stays.
std::string LowercaseUnicode(absl::string_view text);

// White_Space, as \s.
bool IsWhitespace(char32_t code_point);
// General category M: combining marks.
bool IsMark(char32_t code_point);
// Letter, mark, digit or connector, as \w.
bool IsWordCharacter(char32_t code_point);

// `text` without the whitespace at its start, at its end.
absl::string_view StripLeadingWhitespace(absl::string_view text);
absl::string_view StripTrailingWhitespace(absl::string_view text);

}  // namespace tandem
