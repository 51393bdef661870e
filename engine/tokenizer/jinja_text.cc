#include "engine/tokenizer/jinja_text.h"

#include <utf8proc.h>

#include <algorithm>
#include <utility>

#include "engine/tokenizer/utf8.h"

namespace tandem::jinja {
namespace {

utf8proc_category_t Category(char32_t c) { return utf8proc_category(static_cast<int32_t>(c)); }

bool IsLineBreak(char32_t c) {
  return (c >= '\n' && c <= '\r') || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 ||
         c == 0x2029;
}

bool Contains(absl::string_view characters, char32_t wanted) {
  while (!characters.empty()) {
    const Utf8Character character = ReadUtf8(characters);
    if (character.code_point == wanted) return true;
    characters.remove_prefix(character.num_bytes);
  }
  return false;
}

}  // namespace

bool IsValidUtf8(absl::string_view text) {
  while (!text.empty()) {
    const Utf8Character character = ReadUtf8(text);
    if (!character.valid) return false;
    text.remove_prefix(character.num_bytes);
  }
  return true;
}

size_t CountCodePoints(absl::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

size_t OffsetOfLastCodePoint(absl::string_view text) {
  size_t begin = text.size() - 1;
  while (begin > 0 && (text[begin] & 0xC0) == 0x80) --begin;
  return begin;
}

size_t OffsetOfCodePoint(absl::string_view text, size_t index) {
  for (size_t offset = 0; offset < text.size(); ++offset) {
    if ((text[offset] & 0xC0) != 0x80 && index-- == 0) return offset;
  }
  return text.size();
}

std::vector<absl::string_view> SplitCodePoints(absl::string_view text) {
  std::vector<absl::string_view> result;
  while (!text.empty()) {
    const size_t num_bytes = ReadUtf8(text).num_bytes;
    result.push_back(text.substr(0, num_bytes));
    text.remove_prefix(num_bytes);
  }
  return result;
}

bool IsSpace(char32_t c) {
  return c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1C && c <= 0x1F) || c == 0x85 ||
         c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
         c == 0x202F || c == 0x205F || c == 0x3000;
}

bool IsAlphabetic(char32_t c) {
  const utf8proc_category_t category = Category(c);
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

bool IsDecimal(char32_t c) { return Category(c) == UTF8PROC_CATEGORY_ND; }

bool IsDigit(char32_t c) {
  // Numeric_Type=Digit beyond the decimals: superscripts, subscripts, digits in circles.
  static constexpr std::pair<char32_t, char32_t> kRanges[] = {
      {0xB2, 0xB3},       {0xB9, 0xB9},       {0x1369, 0x1371},   {0x19DA, 0x19DA},
      {0x2070, 0x2070},   {0x2074, 0x2079},   {0x2080, 0x2089},   {0x2460, 0x2468},
      {0x2474, 0x247C},   {0x2488, 0x2490},   {0x24EA, 0x24EA},   {0x24F5, 0x24FD},
      {0x24FF, 0x24FF},   {0x2776, 0x277E},   {0x2780, 0x2788},   {0x278A, 0x2792},
      {0x10A40, 0x10A43}, {0x10E60, 0x10E68}, {0x11052, 0x1105A}, {0x1F100, 0x1F10A}};
  return IsDecimal(c) || std::any_of(std::begin(kRanges), std::end(kRanges),
                                     [c](const auto& r) { return c >= r.first && c <= r.second; });
}

bool IsNumeric(char32_t c) {
  const utf8proc_category_t category = Category(c);
  return category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO;
}

bool IsPrintable(char32_t c) {
  const utf8proc_category_t category = Category(c);
  const bool separator_or_control =
      category == UTF8PROC_CATEGORY_CN ||
      (category >= UTF8PROC_CATEGORY_ZS && category <= UTF8PROC_CATEGORY_CO);
  return c == ' ' || !separator_or_control;
}

bool IsIdentifierStart(char32_t c) {
  return c == '_' || IsAlphabetic(c) || Category(c) == UTF8PROC_CATEGORY_NL;
}

bool IsIdentifierPart(char32_t c) {
  const utf8proc_category_t category = Category(c);
  return IsIdentifierStart(c) || category == UTF8PROC_CATEGORY_MN ||
         category == UTF8PROC_CATEGORY_MC || category == UTF8PROC_CATEGORY_ND ||
         category == UTF8PROC_CATEGORY_PC || c == 0xB7;
}

bool AllOf(absl::string_view text, bool (*is_of_class)(char32_t)) {
  if (text.empty()) return false;
  while (!text.empty()) {
    const Utf8Character character = ReadUtf8(text);
    if (!is_of_class(character.code_point)) return false;
    text.remove_prefix(character.num_bytes);
  }
  return true;
}

absl::string_view Strip(absl::string_view text, StripSides sides, const std::string* characters) {
  const auto removable = [characters](char32_t c) {
    return characters == nullptr ? IsSpace(c) : Contains(*characters, c);
  };
  while (sides.left && !text.empty()) {
    const Utf8Character first = ReadUtf8(text);
    if (!removable(first.code_point)) break;
    text.remove_prefix(first.num_bytes);
  }
  while (sides.right && !text.empty()) {
    const size_t last = OffsetOfLastCodePoint(text);
    if (!removable(ReadUtf8(text.substr(last)).code_point)) break;
    text = text.substr(0, last);
  }
  return text;
}

std::vector<absl::string_view> SplitWords(absl::string_view text, int64_t max_splits,
                                          bool from_right) {
  std::vector<absl::string_view> words;
  text = Strip(text, {.left = !from_right, .right = from_right});
  while (!text.empty()) {
    if (max_splits >= 0 && static_cast<int64_t>(words.size()) == max_splits) {
      words.push_back(text);
      break;
    }
    size_t begin = 0;
    size_t end = text.size();
    if (from_right) {
      for (begin = text.size(); begin > 0;) {
        const size_t last = OffsetOfLastCodePoint(text.substr(0, begin));
        if (IsSpace(ReadUtf8(text.substr(last)).code_point)) break;
        begin = last;
      }
    } else {
      for (end = 0; end < text.size();) {
        const Utf8Character character = ReadUtf8(text.substr(end));
        if (IsSpace(character.code_point)) break;
        end += character.num_bytes;
      }
    }
    words.push_back(text.substr(begin, end - begin));
    text = from_right ? text.substr(0, begin) : text.substr(end);
    text = Strip(text, {.left = !from_right, .right = from_right});
  }
  if (from_right) std::reverse(words.begin(), words.end());
  return words;
}

std::vector<absl::string_view> SplitLines(absl::string_view text, bool keep_ends) {
  std::vector<absl::string_view> lines;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const Utf8Character character = ReadUtf8(text.substr(at));
    size_t next = at + character.num_bytes;
    if (IsLineBreak(character.code_point)) {
      if (character.code_point == '\r' && next < text.size() && text[next] == '\n') ++next;
      lines.push_back(text.substr(begin, (keep_ends ? next : at) - begin));
      begin = next;
    }
    at = next;
  }
  if (begin < text.size()) lines.push_back(text.substr(begin));
  return lines;
}

}  // namespace tandem::jinja
