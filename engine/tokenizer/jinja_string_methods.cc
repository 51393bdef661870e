// Methods of str that cut, search and pad. Positions count code points.
#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "engine/core/status_macros.h"
#include "engine/tokenizer/jinja_access.h"
#include "engine/tokenizer/jinja_arguments.h"
#include "engine/tokenizer/jinja_format.h"
#include "engine/tokenizer/jinja_methods.h"
#include "engine/tokenizer/jinja_operators.h"
#include "engine/tokenizer/jinja_text.h"

namespace tandem::jinja {
namespace {

absl::StatusOr<Value> TextList(Runtime& runtime, const std::vector<absl::string_view>& pieces) {
  constexpr int64_t kStepsPerPiece = 4;  // A short text takes about 100 bytes beside its value.
  RETURN_IF_ERROR(runtime.Charge(kStepsPerPiece * static_cast<int64_t>(pieces.size())));
  std::vector<Value> items;
  items.reserve(pieces.size());
  for (const absl::string_view piece : pieces) items.push_back(Value::String(piece));
  return Value::List(std::move(items));
}

// --- Whole-text mappings and questions

template <std::string (*kMap)(absl::string_view)>
absl::StatusOr<Value> MapText(Runtime& runtime, const Value& self, const Arguments& arguments) {
  RETURN_IF_ERROR(ExpectNoArguments("str method", arguments));
  RETURN_IF_ERROR(runtime.ChargeText(self.text().size()));
  return Value::String(kMap(self.text()));
}

template <bool (*kIsOfClass)(char32_t)>
absl::StatusOr<Value> AskCharacters(Runtime& runtime, const Value& self,
                                    const Arguments& arguments) {
  RETURN_IF_ERROR(ExpectNoArguments("str method", arguments));
  RETURN_IF_ERROR(runtime.ChargeText(self.text().size()));
  return Value::Bool(AllOf(self.text(), kIsOfClass));
}

template <bool (*kIsTrueOf)(absl::string_view)>
absl::StatusOr<Value> AskText(Runtime& runtime, const Value& self, const Arguments& arguments) {
  RETURN_IF_ERROR(ExpectNoArguments("str method", arguments));
  RETURN_IF_ERROR(runtime.ChargeText(self.text().size()));
  return Value::Bool(kIsTrueOf(self.text()));
}

bool IsAlphanumeric(char32_t c) { return IsAlphabetic(c) || IsNumeric(c); }

bool IsAsciiText(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c & 0x80) == 0; });
}

// The empty text is printable.
bool IsPrintableText(absl::string_view text) { return text.empty() || AllOf(text, IsPrintable); }

bool IsIdentifierText(absl::string_view text) {
  return AllOf(text, IsIdentifierPart) &&
         AllOf(text.substr(0, OffsetOfCodePoint(text, 1)), IsIdentifierStart);
}

// --- Cutting

template <bool kLeft, bool kRight>
absl::StatusOr<Value> StripMethod(Runtime& runtime, const Value& self, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::Bind("strip", {"chars"}, 0, arguments));
  RETURN_IF_ERROR(runtime.ChargeText(self.text().size()));
  constexpr StripSides kSides{.left = kLeft, .right = kRight};
  if (!bound.HasValue(0)) return Value::String(Strip(self.text(), kSides));
  ASSIGN_OR_RETURN(const std::string characters, bound.GetString(0, ""));
  RETURN_IF_ERROR(runtime.ChargeText(characters.size() * (1 + self.text().size() / 64)));
  return Value::String(Strip(self.text(), kSides, &characters));
}

template <bool kFromRight>
absl::StatusOr<Value> Split(Runtime& runtime, const Value& self, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::Bind("split", {"sep", "maxsplit"}, 0, arguments));
  ASSIGN_OR_RETURN(const int64_t max_splits, bound.GetInt(1, -1));
  RETURN_IF_ERROR(runtime.ChargeText(self.text().size()));
  std::vector<absl::string_view> pieces;
  std::string separator;
  if (bound.HasValue(0)) {
    ASSIGN_OR_RETURN(separator, bound.GetString(0, ""));
    if (separator.empty()) return absl::InvalidArgumentError("empty separator");
    RETURN_IF_ERROR(runtime.ChargeSearch(self.text().size(), separator.size()));
    pieces = SplitText(self.text(), separator, max_splits, kFromRight);
  } else {
    pieces = SplitWords(self.text(), max_splits, kFromRight);
  }
  return TextList(runtime, pieces);
}

absl::StatusOr<Value> SplitLinesMethod(Runtime& runtime, const Value& self,
                                       const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::Bind("splitlines", {"keepends"}, 0, arguments));
  RETURN_IF_ERROR(runtime.ChargeText(self.text().size()));
  const std::vector<absl::string_view> lines = SplitLines(self.text(), bound.GetTruth(0, false));
  return TextList(runtime, lines);
}

template <bool kFromRight>
absl::StatusOr<Value> Partition(Runtime& runtime, const Value& self, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::Bind("partition", {"sep"}, 1, arguments));
  ASSIGN_OR_RETURN(const std::string separator, bound.GetString(0, ""));
  RETURN_IF_ERROR(runtime.ChargeSearch(self.text().size(), separator.size()));
  if (separator.empty()) return absl::InvalidArgumentError("empty separator");
  const absl::string_view text = self.text();
  const size_t at = kFromRight ? text.rfind(separator) : text.find(separator);
  const Value empty = Value::String(std::string());
  if (at == absl::string_view::npos) {
    return kFromRight ? Value::Tuple({empty, empty, self}) : Value::Tuple({self, empty, empty});
  }
  return Value::Tuple({Value::String(text.substr(0, at)), Value::String(separator),
                       Value::String(text.substr(at + separator.size()))});
}

template <bool kPrefix>
absl::StatusOr<Value> RemoveAffix(Runtime& runtime, const Value& self, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::Bind("removeprefix", {"affix"}, 1, arguments));
  ASSIGN_OR_RETURN(const std::string affix, bound.GetString(0, ""));
  RETURN_IF_ERROR(runtime.ChargeText(self.text().size()));
  return Value::String(kPrefix ? absl::StripPrefix(self.text(), affix)
                               : absl::StripSuffix(self.text(), affix));
}

// --- Searching

// Where a search with the optional arguments (sub, start, end) takes place: code points.
struct SearchRange {
  int64_t start = 0;
  absl::string_view text;  // [start, end)
  bool empty = false;      // start beyond end: not even the empty text is found
};

absl::StatusOr<SearchRange> ResolveRange(Runtime& runtime, const std::string& text,
                                         const BoundArguments& bound) {
  RETURN_IF_ERROR(runtime.ChargeText(text.size()));
  const auto length = static_cast<int64_t>(CountCodePoints(text));
  int64_t start = 0;
  int64_t end = length;
  if (bound.HasValue(1)) {
    ASSIGN_OR_RETURN(start, bound.GetInt(1, 0));
  }
  if (bound.HasValue(2)) {
    ASSIGN_OR_RETURN(end, bound.GetInt(2, length));
  }
  if (start < 0) start = std::max<int64_t>(start + length, 0);
  if (end < 0) end = std::max<int64_t>(end + length, 0);
  end = std::min(end, length);
  if (start > end) return SearchRange{.start = start, .text = {}, .empty = true};
  const size_t begin_byte = OffsetOfCodePoint(text, static_cast<size_t>(start));
  const absl::string_view rest = absl::string_view(text).substr(begin_byte);
  return SearchRange{
      .start = start,
      .text = rest.substr(0, OffsetOfCodePoint(rest, static_cast<size_t>(end - start)))};
}

// The code point position of the text `sub`, -1 where there is none.
absl::StatusOr<int64_t> FindPosition(Runtime& runtime, const Value& self,
                                     const Arguments& arguments, bool from_right) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::Bind("find", {"sub", "start", "end"}, 1, arguments));
  ASSIGN_OR_RETURN(const std::string wanted, bound.GetString(0, ""));
  ASSIGN_OR_RETURN(const SearchRange range, ResolveRange(runtime, self.text(), bound));
  if (range.empty) return -1;
  RETURN_IF_ERROR(runtime.ChargeSearch(range.text.size(), wanted.size()));
  const size_t at = from_right ? range.text.rfind(wanted) : range.text.find(wanted);
  if (at == absl::string_view::npos) return -1;
  return range.start + static_cast<int64_t>(CountCodePoints(range.text.substr(0, at)));
}

template <bool kFromRight>
absl::StatusOr<Value> Find(Runtime& runtime, const Value& self, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const int64_t position, FindPosition(runtime, self, arguments, kFromRight));
  return Value::Int(position);
}

template <bool kFromRight>
absl::StatusOr<Value> Index(Runtime& runtime, const Value& self, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const int64_t position, FindPosition(runtime, self, arguments, kFromRight));
  if (position < 0) return absl::InvalidArgumentError("substring not found");
  return Value::Int(position);
}

absl::StatusOr<Value> Count(Runtime& runtime, const Value& self, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::Bind("count", {"sub", "start", "end"}, 1, arguments));
  ASSIGN_OR_RETURN(const std::string wanted, bound.GetString(0, ""));
  ASSIGN_OR_RETURN(const SearchRange range, ResolveRange(runtime, self.text(), bound));
  if (range.empty) return Value::Int(0);
  RETURN_IF_ERROR(runtime.ChargeSearch(range.text.size(), wanted.size()));
  if (wanted.empty()) return Value::Int(static_cast<Integer>(CountCodePoints(range.text)) + 1);
  return Value::Int(static_cast<Integer>(SplitText(range.text, wanted, -1, false).size()) - 1);
}

template <bool kAtStart>
absl::StatusOr<Value> HasAffix(Runtime& runtime, const Value& self, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::Bind("startswith", {"affix", "start", "end"}, 1, arguments));
  RETURN_IF_ERROR(CheckDefined(*bound[0]));
  const std::vector<Value> affixes =
      bound[0]->is_tuple() ? bound[0]->items() : std::vector<Value>{*bound[0]};
  ASSIGN_OR_RETURN(const SearchRange range, ResolveRange(runtime, self.text(), bound));
  for (const Value& affix : affixes) {
    if (!affix.is_string()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "startswith first arg must be str or a tuple of str, not ", TypeName(affix)));
    }
    const bool matches = kAtStart ? absl::StartsWith(range.text, affix.text())
                                  : absl::EndsWith(range.text, affix.text());
    if (matches && !range.empty) return Value::Bool(true);
  }
  return Value::Bool(false);
}

// --- Building

absl::StatusOr<Value> Replace(Runtime& runtime, const Value& self, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::Bind("replace", {"old", "new", "count"}, 2, arguments));
  ASSIGN_OR_RETURN(const std::string from, bound.GetString(0, ""));
  ASSIGN_OR_RETURN(const std::string to, bound.GetString(1, ""));
  ASSIGN_OR_RETURN(const int64_t count, bound.GetInt(2, -1));
  ASSIGN_OR_RETURN(std::string text, ReplaceText(runtime, self.text(), from, to, count));
  return Value::String(std::move(text));
}

absl::StatusOr<Value> Join(Runtime& runtime, const Value& self, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::Bind("join", {"iterable"}, 1, arguments));
  ASSIGN_OR_RETURN(const std::vector<Value> items, ToVector(runtime, *bound[0]));
  std::string text;
  for (size_t i = 0; i < items.size(); ++i) {
    if (!items[i].is_string()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "sequence item ", i, ": expected str instance, ", TypeName(items[i]), " found"));
    }
    if (i > 0) text += self.text();
    text += items[i].text();
    RETURN_IF_ERROR(runtime.CheckText(text.size()));
  }
  RETURN_IF_ERROR(runtime.ChargeText(text.size()));
  return Value::String(std::move(text));
}

enum class Align { kLeft, kRight, kCenter };

template <Align kAlign>
absl::StatusOr<Value> Pad(Runtime& runtime, const Value& self, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::Bind("center", {"width", "fillchar"}, 1, arguments));
  ASSIGN_OR_RETURN(const int64_t width, bound.GetInt(0, 0));
  ASSIGN_OR_RETURN(const std::string fill, bound.GetString(1, " "));
  if (CountCodePoints(fill) != 1) {
    return absl::InvalidArgumentError("The fill character must be exactly one character long");
  }
  const int64_t padding = width - static_cast<int64_t>(CountCodePoints(self.text()));
  if (padding <= 0) return self;
  RETURN_IF_ERROR(runtime.ChargeText(static_cast<size_t>(padding)));
  // CPython puts the odd one on the left where both the padding and the width are odd.
  int64_t left = padding / 2 + (padding & width & 1);
  if (kAlign == Align::kLeft) left = 0;
  if (kAlign == Align::kRight) left = padding;
  std::string text;
  for (int64_t i = 0; i < left; ++i) text += fill;
  text += self.text();
  for (int64_t i = left; i < padding; ++i) text += fill;
  return Value::String(std::move(text));
}

absl::StatusOr<Value> ZeroFill(Runtime& runtime, const Value& self, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::Bind("zfill", {"width"}, 1, arguments));
  ASSIGN_OR_RETURN(const int64_t width, bound.GetInt(0, 0));
  const int64_t padding = width - static_cast<int64_t>(CountCodePoints(self.text()));
  if (padding <= 0) return self;
  RETURN_IF_ERROR(runtime.ChargeText(static_cast<size_t>(padding)));
  std::string text = self.text();
  const bool has_sign = absl::StartsWith(text, "-") || absl::StartsWith(text, "+");
  text.insert(has_sign ? 1 : 0, static_cast<size_t>(padding), '0');
  return Value::String(std::move(text));
}

absl::StatusOr<Value> Format(Runtime& runtime, const Value& self, const Arguments& arguments) {
  ASSIGN_OR_RETURN(std::string text, FormatBraces(runtime, self.text(), arguments));
  return Value::String(std::move(text));
}

absl::StatusOr<Value> FormatMap(Runtime& runtime, const Value& self, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::Bind("format_map", {"mapping"}, 1, arguments));
  if (!bound[0]->is_dict()) {
    return absl::InvalidArgumentError("format_map() takes a dict");
  }
  Arguments named;
  for (const auto& [key, value] : bound[0]->dict().entries()) {
    if (key.is_string()) named.keyword.emplace_back(key.text(), value);
  }
  return Format(runtime, self, named);
}

}  // namespace

std::vector<absl::string_view> SplitText(absl::string_view text, absl::string_view separator,
                                         int64_t max_splits, bool from_right) {
  std::vector<absl::string_view> pieces;
  while (max_splits < 0 || static_cast<int64_t>(pieces.size()) < max_splits) {
    const size_t at = from_right ? text.rfind(separator) : text.find(separator);
    if (at == absl::string_view::npos) break;
    const absl::string_view before = text.substr(0, at);
    const absl::string_view after = text.substr(at + separator.size());
    pieces.push_back(from_right ? after : before);
    text = from_right ? before : after;
  }
  pieces.push_back(text);
  if (from_right) std::reverse(pieces.begin(), pieces.end());
  return pieces;
}

absl::StatusOr<std::string> ReplaceText(Runtime& runtime, absl::string_view text,
                                        absl::string_view from, absl::string_view to,
                                        int64_t max_count) {
  std::vector<absl::string_view> pieces;
  if (from.empty()) {
    pieces = SplitCodePoints(text);
    pieces.insert(pieces.begin(), absl::string_view());
    pieces.push_back(absl::string_view());
    const auto num_pieces = static_cast<int64_t>(pieces.size());
    if (max_count < 0 || max_count > num_pieces - 1) max_count = num_pieces - 1;
  } else {
    RETURN_IF_ERROR(runtime.ChargeSearch(text.size(), from.size()));
    pieces = SplitText(text, from, max_count, false);
    max_count = static_cast<int64_t>(pieces.size()) - 1;
  }
  RETURN_IF_ERROR(runtime.ChargeText(text.size() + static_cast<size_t>(max_count) * to.size()));
  std::string result;
  for (size_t i = 0; i < pieces.size(); ++i) {
    absl::StrAppend(&result, pieces[i]);
    if (static_cast<int64_t>(i) < max_count) absl::StrAppend(&result, to);
  }
  return result;
}

Method FindStringMethod(absl::string_view name) {
  static const auto* const kMethods = new absl::flat_hash_map<absl::string_view, Method>({
      {"capitalize", MapText<Capitalize>},
      {"center", Pad<Align::kCenter>},
      {"count", Count},
      {"endswith", HasAffix<false>},
      {"find", Find<false>},
      {"format", Format},
      {"format_map", FormatMap},
      {"index", Index<false>},
      {"isalnum", AskCharacters<IsAlphanumeric>},
      {"isalpha", AskCharacters<IsAlphabetic>},
      {"isascii", AskText<IsAsciiText>},
      {"isdecimal", AskCharacters<IsDecimal>},
      {"isdigit", AskCharacters<IsDigit>},
      {"isidentifier", AskText<IsIdentifierText>},
      {"islower", AskText<IsLowerText>},
      {"isnumeric", AskCharacters<IsNumeric>},
      {"isprintable", AskText<IsPrintableText>},
      {"isspace", AskCharacters<IsSpace>},
      {"istitle", AskText<IsTitleText>},
      {"isupper", AskText<IsUpperText>},
      {"join", Join},
      {"ljust", Pad<Align::kLeft>},
      {"lower", MapText<ToLower>},
      {"lstrip", StripMethod<true, false>},
      {"partition", Partition<false>},
      {"removeprefix", RemoveAffix<true>},
      {"removesuffix", RemoveAffix<false>},
      {"replace", Replace},
      {"rfind", Find<true>},
      {"rindex", Index<true>},
      {"rjust", Pad<Align::kRight>},
      {"rpartition", Partition<true>},
      {"rsplit", Split<true>},
      {"rstrip", StripMethod<false, true>},
      {"split", Split<false>},
      {"splitlines", SplitLinesMethod},
      {"startswith", HasAffix<true>},
      {"strip", StripMethod<true, true>},
      {"swapcase", MapText<SwapCase>},
      {"title", MapText<ToTitle>},
      {"upper", MapText<ToUpper>},
      {"zfill", ZeroFill},
  });
  const auto found = kMethods->find(name);
  return found == kMethods->end() ? nullptr : found->second;
}

}  // namespace tandem::jinja
