// The case mappings of jinja_text.h.
#include <utf8proc.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "engine/tokenizer/jinja_special_casing.h"
#include "engine/tokenizer/jinja_text.h"
#include "engine/tokenizer/utf8.h"

namespace tandem::jinja {
namespace {

using CodePointRange = std::pair<char32_t, char32_t>;

// Characters that have a case without being letters of that category (Other_Uppercase,
// Other_Lowercase of Unicode's PropList).
constexpr CodePointRange kOtherUpper[] = {
    {0x2160, 0x216F}, {0x24B6, 0x24CF}, {0x1F130, 0x1F149}, {0x1F150, 0x1F169}, {0x1F170, 0x1F189}};
constexpr CodePointRange kOtherLower[] = {
    {0xAA, 0xAA},       {0xBA, 0xBA},       {0x2B0, 0x2B8},     {0x2C0, 0x2C1},    {0x2E0, 0x2E4},
    {0x345, 0x345},     {0x37A, 0x37A},     {0x1D2C, 0x1D6A},   {0x1D78, 0x1D78},  {0x1D9B, 0x1DBF},
    {0x2071, 0x2071},   {0x207F, 0x207F},   {0x2090, 0x209C},   {0x2170, 0x217F},  {0x24D0, 0x24E9},
    {0x2C7C, 0x2C7D},   {0xA69C, 0xA69D},   {0xA770, 0xA770},   {0xA7F8, 0xA7F9},  {0xAB5C, 0xAB5F},
    {0x10780, 0x10780}, {0x10783, 0x10785}, {0x10787, 0x107B0}, {0x107B2, 0x107BA}};

template <size_t kSize>
bool InRanges(const CodePointRange (&ranges)[kSize], char32_t c) {
  return std::any_of(std::begin(ranges), std::end(ranges), [c](const CodePointRange& range) {
    return c >= range.first && c <= range.second;
  });
}

utf8proc_category_t CaseCategory(char32_t c) { return utf8proc_category(static_cast<int32_t>(c)); }

bool IsCased(char32_t c) { return IsUpper(c) || IsLower(c) || IsTitle(c); }

// Unicode's Case_Ignorable, near enough for the final sigma: marks, formats, modifiers,
// apostrophes.
bool IsCaseIgnorable(char32_t c) {
  const utf8proc_category_t category = CaseCategory(c);
  return category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_ME ||
         category == UTF8PROC_CATEGORY_CF || category == UTF8PROC_CATEGORY_LM ||
         category == UTF8PROC_CATEGORY_SK || c == '\'' || c == '.' || c == ':' || c == 0xB7 ||
         c == 0x2018 || c == 0x2019 || c == 0x2024 || c == 0x2027;
}

void AppendUpper(char32_t c, std::string* out) {
  const SpecialCasing* special = c < 0x80 ? nullptr : FindSpecialCasing(c);
  if (special != nullptr) {
    out->append(special->upper);
  } else {
    AppendUtf8(static_cast<char32_t>(utf8proc_toupper(static_cast<int32_t>(c))), out);
  }
}

void AppendTitle(char32_t c, std::string* out) {
  const SpecialCasing* special = c < 0x80 ? nullptr : FindSpecialCasing(c);
  if (special != nullptr) {
    out->append(special->title);
  } else {
    AppendUtf8(static_cast<char32_t>(utf8proc_totitle(static_cast<int32_t>(c))), out);
  }
}

// A capital sigma becomes the final form at the end of a word (Unicode 15, table 3-17): a cased
// letter before it and none after it, marks and apostrophes not counted.
bool IsFinalSigma(absl::string_view text, size_t at) {
  bool cased_before = false;
  for (absl::string_view before = text.substr(0, at); !before.empty();) {
    const size_t last = OffsetOfLastCodePoint(before);
    const char32_t c = ReadUtf8(before.substr(last)).code_point;
    cased_before = IsCased(c) && !IsCaseIgnorable(c);
    if (!IsCaseIgnorable(c)) break;
    before = before.substr(0, last);
  }
  if (!cased_before) return false;
  for (absl::string_view rest = text.substr(at + 2); !rest.empty();) {
    const Utf8Character character = ReadUtf8(rest);
    if (!IsCaseIgnorable(character.code_point)) return !IsCased(character.code_point);
    rest.remove_prefix(character.num_bytes);
  }
  return true;
}

// Lower case of the character `c` at byte `at` of `text`.
void AppendLower(absl::string_view text, size_t at, char32_t c, std::string* out) {
  constexpr char32_t kCapitalSigma = 0x3A3;
  constexpr char32_t kFinalSigma = 0x3C2;
  constexpr char32_t kCapitalDottedI = 0x130;
  if (c == kCapitalDottedI) {
    out->append("i\xCC\x87");  // The one whose lower case is two characters.
  } else if (c == kCapitalSigma && IsFinalSigma(text, at)) {
    AppendUtf8(kFinalSigma, out);
  } else {
    AppendUtf8(static_cast<char32_t>(utf8proc_tolower(static_cast<int32_t>(c))), out);
  }
}

// Calls map(byte offset, code point, &result) for every character.
template <typename Map>
std::string MapCharacters(absl::string_view text, Map map) {
  std::string result;
  result.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const Utf8Character character = ReadUtf8(text.substr(at));
    map(at, character.code_point, &result);
    at += character.num_bytes;
  }
  return result;
}

}  // namespace

bool IsUpper(char32_t c) {
  return CaseCategory(c) == UTF8PROC_CATEGORY_LU || InRanges(kOtherUpper, c);
}

bool IsLower(char32_t c) {
  return CaseCategory(c) == UTF8PROC_CATEGORY_LL || InRanges(kOtherLower, c);
}

bool IsTitle(char32_t c) { return CaseCategory(c) == UTF8PROC_CATEGORY_LT; }

std::string ToUpper(absl::string_view text) {
  return MapCharacters(text,
                       [](size_t, char32_t c, std::string* result) { AppendUpper(c, result); });
}

std::string ToLower(absl::string_view text) {
  return MapCharacters(text, [text](size_t at, char32_t c, std::string* result) {
    AppendLower(text, at, c, result);
  });
}

std::string ToTitle(absl::string_view text) {
  bool in_word = false;
  return MapCharacters(text, [text, &in_word](size_t at, char32_t c, std::string* result) {
    if (in_word) {
      AppendLower(text, at, c, result);
    } else {
      AppendTitle(c, result);
    }
    in_word = IsCased(c);
  });
}

std::string Capitalize(absl::string_view text) {
  return MapCharacters(text, [text](size_t at, char32_t c, std::string* result) {
    if (at == 0) {
      AppendTitle(c, result);
    } else {
      AppendLower(text, at, c, result);
    }
  });
}

std::string SwapCase(absl::string_view text) {
  return MapCharacters(text, [text](size_t at, char32_t c, std::string* result) {
    if (IsUpper(c)) {
      AppendLower(text, at, c, result);
    } else if (IsLower(c)) {
      AppendUpper(c, result);
    } else {
      AppendUtf8(c, result);
    }
  });
}

bool IsUpperText(absl::string_view text) {
  bool cased = false;
  while (!text.empty()) {
    const Utf8Character character = ReadUtf8(text);
    if (IsLower(character.code_point) || IsTitle(character.code_point)) return false;
    cased = cased || IsUpper(character.code_point);
    text.remove_prefix(character.num_bytes);
  }
  return cased;
}

bool IsLowerText(absl::string_view text) {
  bool cased = false;
  while (!text.empty()) {
    const Utf8Character character = ReadUtf8(text);
    if (IsUpper(character.code_point) || IsTitle(character.code_point)) return false;
    cased = cased || IsLower(character.code_point);
    text.remove_prefix(character.num_bytes);
  }
  return cased;
}

bool IsTitleText(absl::string_view text) {
  bool cased = false;
  bool in_word = false;
  while (!text.empty()) {
    const Utf8Character character = ReadUtf8(text);
    const bool capital = IsUpper(character.code_point) || IsTitle(character.code_point);
    const bool small = IsLower(character.code_point);
    if ((capital && in_word) || (small && !in_word)) return false;
    in_word = capital || small;
    cased = cased || in_word;
    text.remove_prefix(character.num_bytes);
  }
  return cased;
}

}  // namespace tandem::jinja
