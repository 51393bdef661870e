#include "engine/tokenizer/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "engine/tokenizer/utf8.h"

namespace tandem {
namespace {

int CombiningClass(int32_t code_point) {
  return utf8proc_get_property(code_point)->combining_class;
}

// Appends the full decomposition of one character.
void AppendDecomposition(char32_t code_point, utf8proc_option_t options,
                         std::vector<int32_t>* out) {
  constexpr int kMaxDecomposition = 32;  // The longest of Unicode 15 has 18 (U+FDFA).
  int32_t decomposed[kMaxDecomposition];
  int boundary = UTF8PROC_BOUNDCLASS_START;
  const utf8proc_ssize_t size = utf8proc_decompose_char(
      static_cast<int32_t>(code_point), decomposed, kMaxDecomposition, options, &boundary);
  if (size < 0 || size > kMaxDecomposition) {
    out->push_back(static_cast<int32_t>(code_point));
  } else {
    out->insert(out->end(), decomposed, decomposed + size);
  }
}

// Canonical ordering (Unicode 15, D109): marks between two starters by combining class.
void SortMarks(std::vector<int32_t>* text) {
  const auto is_starter = [](int32_t code_point) { return CombiningClass(code_point) == 0; };
  for (auto begin = text->begin(); begin != text->end();) {
    begin = std::find_if_not(begin, text->end(), is_starter);
    const auto end = std::find_if(begin, text->end(), is_starter);
    std::stable_sort(begin, end,
                     [](int32_t a, int32_t b) { return CombiningClass(a) < CombiningClass(b); });
    begin = end;
  }
}

bool IsAscii(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c & 0x80) == 0; });
}

}  // namespace

std::string NormalizeUnicode(absl::string_view text, UnicodeForm form) {
  if (IsAscii(text)) return std::string(text);
  const auto decompose = static_cast<utf8proc_option_t>(UTF8PROC_DECOMPOSE |
                                                        (form.compatibility ? UTF8PROC_COMPAT : 0));
  std::vector<int32_t> code_points;
  code_points.reserve(text.size());
  for (absl::string_view rest = text; !rest.empty();) {
    const Utf8Character character = ReadUtf8(rest);
    AppendDecomposition(character.code_point, decompose, &code_points);
    rest.remove_prefix(character.num_bytes);
  }
  SortMarks(&code_points);
  if (form.compose) {
    // Only composes: the input is decomposed and ordered.
    code_points.resize(utf8proc_normalize_utf32(
        code_points.data(), static_cast<utf8proc_ssize_t>(code_points.size()),
        static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE)));
  }
  std::string result;
  result.reserve(text.size());
  for (const int32_t code_point : code_points) {
    AppendUtf8(static_cast<char32_t>(code_point), &result);
  }
  return result;
}

std::string LowercaseUnicode(absl::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (absl::string_view rest = text; !rest.empty();) {
    const Utf8Character character = ReadUtf8(rest);
    if (character.code_point == 0x130) {  // The one whose lower case is two characters.
      result.append("i\xCC\x87");
    } else {
      const int32_t lower = utf8proc_tolower(static_cast<int32_t>(character.code_point));
      AppendUtf8(static_cast<char32_t>(lower), &result);
    }
    rest.remove_prefix(character.num_bytes);
  }
  return result;
}

bool IsWhitespace(char32_t c) {
  return c == ' ' || (c >= '\t' && c <= '\r') || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

bool IsMark(char32_t code_point) {
  const utf8proc_category_t category = utf8proc_category(static_cast<int32_t>(code_point));
  return category >= UTF8PROC_CATEGORY_MN && category <= UTF8PROC_CATEGORY_ME;
}

bool IsWordCharacter(char32_t code_point) {
  const utf8proc_category_t category = utf8proc_category(static_cast<int32_t>(code_point));
  return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_NL) ||
         category == UTF8PROC_CATEGORY_PC || code_point == 0x200C || code_point == 0x200D;
}

absl::string_view StripLeadingWhitespace(absl::string_view text) {
  while (!text.empty()) {
    const Utf8Character character = ReadUtf8(text);
    if (!IsWhitespace(character.code_point)) break;
    text.remove_prefix(character.num_bytes);
  }
  return text;
}

absl::string_view StripTrailingWhitespace(absl::string_view text) {
  while (!text.empty()) {
    size_t begin = text.size() - 1;
    while (begin > 0 && (text[begin] & 0xC0) == 0x80) --begin;
    if (!IsWhitespace(ReadUtf8(text.substr(begin)).code_point)) break;
    text = text.substr(0, begin);
  }
  return text;
}

}  // namespace tandem
