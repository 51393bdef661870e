// UTF-8 at the byte level: decoding one character, and the one rule by which every invalid byte of
// the outside world becomes U+FFFD (Unicode 15, section 3.9, "maximal subparts"; the same as
// Python's errors="replace").
#pragma once

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace tandem {

// U+FFFD, which stands for what was not UTF-8.
inline constexpr absl::string_view kReplacementCharacter = "\xEF\xBF\xBD";

// One character at the start of a text, or the bytes there that are none.
struct Utf8Character {
  char32_t code_point = 0xFFFD;
  size_t num_bytes = 0;    // At least 1. When invalid: the bytes that one U+FFFD replaces.
  bool valid = false;      // False for surrogates, overlong forms and values above U+10FFFF too.
  bool truncated = false;  // Invalid only because the text ends: more bytes could complete it.
};

// Reads the character at the start of `text`, which must not be empty.
Utf8Character ReadUtf8(absl::string_view text);

// Appends `code_point` (at most U+10FFFF) to `*text`.
void AppendUtf8(char32_t code_point, std::string* text);

// `text` with each maximal invalid part replaced by U+FFFD.
std::string ReplaceInvalidUtf8(absl::string_view text);

// Length of the part of `text` whose meaning no later byte can change: all of it, except an
// unfinished character (at most 3 bytes) at its end.
size_t FinishedUtf8Prefix(absl::string_view text);

}  // namespace tandem
