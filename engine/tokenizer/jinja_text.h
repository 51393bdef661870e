// Text as Python's str sees it: UTF-8 whose lengths and positions count code points, with Python's
// case mappings and character classes. Every text here is valid UTF-8: templates and variables are
// checked where they come in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace tandem::jinja {

bool IsValidUtf8(absl::string_view text);

size_t CountCodePoints(absl::string_view text);

// Byte offset of the code point number `index`, text.size() where there are fewer.
size_t OffsetOfCodePoint(absl::string_view text, size_t index);

// Byte offset of the last code point of `text`, which must not be empty.
size_t OffsetOfLastCodePoint(absl::string_view text);

// One string_view per code point, into `text`.
std::vector<absl::string_view> SplitCodePoints(absl::string_view text);

// str.upper, .lower, .title, .capitalize, .swapcase; with the mappings of one character to several.
std::string ToUpper(absl::string_view text);
std::string ToLower(absl::string_view text);
std::string ToTitle(absl::string_view text);
std::string Capitalize(absl::string_view text);
std::string SwapCase(absl::string_view text);

// Classes of one character, as str.isspace and so on see it.
bool IsSpace(char32_t c);
bool IsUpper(char32_t c);
bool IsLower(char32_t c);
bool IsTitle(char32_t c);
bool IsAlphabetic(char32_t c);
bool IsDecimal(char32_t c);
bool IsDigit(char32_t c);
bool IsNumeric(char32_t c);
bool IsPrintable(char32_t c);
bool IsIdentifierStart(char32_t c);
bool IsIdentifierPart(char32_t c);

// True where `text` is not empty and all of its characters are of the class.
bool AllOf(absl::string_view text, bool (*is_of_class)(char32_t));
// str.isupper, str.islower, str.istitle: at least one cased character, and all of them right.
bool IsUpperText(absl::string_view text);
bool IsLowerText(absl::string_view text);
bool IsTitleText(absl::string_view text);

// str.strip and its halves. `characters` are the ones to remove; null: whitespace.
struct StripSides {
  bool left = true;
  bool right = true;
};
absl::string_view Strip(absl::string_view text, StripSides sides,
                        const std::string* characters = nullptr);

// str.split() and str.rsplit() with no separator: words between runs of whitespace, at most
// `max_splits` cuts (negative: no limit) counted from that end.
std::vector<absl::string_view> SplitWords(absl::string_view text, int64_t max_splits,
                                          bool from_right);

// str.splitlines: at every line break that Python knows (\n, \r\n, \v, U+2028...).
std::vector<absl::string_view> SplitLines(absl::string_view text, bool keep_ends);

}  // namespace tandem::jinja
