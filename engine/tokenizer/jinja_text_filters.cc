// Filters that make text of text.
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "engine/core/status_macros.h"
#include "engine/tokenizer/jinja_access.h"
#include "engine/tokenizer/jinja_arguments.h"
#include "engine/tokenizer/jinja_filters.h"
#include "engine/tokenizer/jinja_methods.h"
#include "engine/tokenizer/jinja_operators.h"
#include "engine/tokenizer/jinja_printf.h"
#include "engine/tokenizer/jinja_repr.h"
#include "engine/tokenizer/jinja_text.h"
#include "engine/tokenizer/utf8.h"

namespace tandem::jinja {
namespace {

// The value as text; Markup stays Markup (Jinja's soft_str).
absl::StatusOr<Value> SoftText(Runtime& runtime, const Value& value) {
  if (value.is_string()) return value;
  ASSIGN_OR_RETURN(std::string text, ToText(runtime, value));
  return Value::String(std::move(text));
}

absl::StatusOr<Value> String(Runtime& runtime, const Value& input, const Arguments& arguments) {
  RETURN_IF_ERROR(ExpectNoArguments("string", arguments));
  return SoftText(runtime, input);
}

// A filter that is a method of str, applied to any value as text.
absl::StatusOr<Value> CallMethod(Runtime& runtime, absl::string_view name, const Value& input,
                                 const Arguments& arguments) {
  ASSIGN_OR_RETURN(const Value text, SoftText(runtime, input));
  return FindMethod(text, name)->object()->Call(runtime, arguments);
}

absl::StatusOr<Value> Upper(Runtime& runtime, const Value& input, const Arguments& arguments) {
  return CallMethod(runtime, "upper", input, arguments);
}

absl::StatusOr<Value> Lower(Runtime& runtime, const Value& input, const Arguments& arguments) {
  return CallMethod(runtime, "lower", input, arguments);
}

absl::StatusOr<Value> CapitalizeFilter(Runtime& runtime, const Value& input,
                                       const Arguments& arguments) {
  return CallMethod(runtime, "capitalize", input, arguments);
}

absl::StatusOr<Value> Trim(Runtime& runtime, const Value& input, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::Bind("trim", {"chars"}, 0, arguments));
  Arguments strip;
  if (bound.Has(0)) strip.positional.push_back(*bound[0]);
  return CallMethod(runtime, "strip", input, strip);
}

absl::StatusOr<Value> Center(Runtime& runtime, const Value& input, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::Bind("center", {"width"}, 0, arguments));
  constexpr Integer kDefaultWidth = 80;
  Arguments center;
  center.positional.push_back(bound.Has(0) ? *bound[0] : Value::Int(kDefaultWidth));
  return CallMethod(runtime, "center", input, center);
}

// Words begin after a space, '-' or an opening bracket.
absl::StatusOr<Value> Title(Runtime& runtime, const Value& input, const Arguments& arguments) {
  RETURN_IF_ERROR(ExpectNoArguments("title", arguments));
  ASSIGN_OR_RETURN(const std::string text, ToText(runtime, input));
  RETURN_IF_ERROR(runtime.ChargeText(text.size()));
  const auto is_separator = [](char32_t c) {
    return c == '-' || c == '(' || c == '{' || c == '[' || c == '<' || IsSpace(c);
  };
  std::string result;
  for (absl::string_view rest = text; !rest.empty();) {
    size_t size = 0;
    const bool separator = is_separator(ReadUtf8(rest).code_point);
    while (size < rest.size() &&
           is_separator(ReadUtf8(rest.substr(size)).code_point) == separator) {
      size += ReadUtf8(rest.substr(size)).num_bytes;
    }
    const absl::string_view part = rest.substr(0, size);
    const size_t first = OffsetOfCodePoint(part, 1);
    absl::StrAppend(&result, ToUpper(part.substr(0, first)), ToLower(part.substr(first)));
    rest.remove_prefix(size);
  }
  return Value::String(std::move(result));
}

absl::StatusOr<Value> ReplaceText(Runtime& runtime, const Value& input,
                                  const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::Bind("replace", {"old", "new", "count"}, 2, arguments));
  ASSIGN_OR_RETURN(const std::string text, ToText(runtime, input));
  ASSIGN_OR_RETURN(const std::string from, ToText(runtime, *bound[0]));
  ASSIGN_OR_RETURN(const std::string to, ToText(runtime, *bound[1]));
  int64_t count = -1;
  if (bound.HasValue(2)) {
    ASSIGN_OR_RETURN(count, bound.GetInt(2, -1));
  }
  ASSIGN_OR_RETURN(std::string result, ReplaceText(runtime, text, from, to, count));
  return Value::String(std::move(result));
}

absl::StatusOr<std::string> IndentionText(const BoundArguments& bound, Runtime& runtime) {
  constexpr int64_t kDefaultWidth = 4;
  if (bound.Has(0) && bound[0]->is_string()) return bound[0]->text();
  ASSIGN_OR_RETURN(const int64_t width, bound.GetInt(0, kDefaultWidth));
  if (width <= 0) return std::string();
  RETURN_IF_ERROR(runtime.ChargeText(static_cast<size_t>(width)));
  return std::string(static_cast<size_t>(width), ' ');
}

absl::StatusOr<Value> Indent(Runtime& runtime, const Value& input, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::Bind("indent", {"width", "first", "blank"}, 0, arguments));
  ASSIGN_OR_RETURN(const std::string indention, IndentionText(bound, runtime));
  RETURN_IF_ERROR(CheckDefined(input));
  if (!input.is_string()) {
    return absl::InvalidArgumentError(absl::StrCat("indent() wants str, not ", TypeName(input)));
  }
  // The added newline makes a newline at the end an empty last line.
  const std::string text = input.text() + "\n";
  const std::vector<absl::string_view> lines = SplitLines(text, /*keep_ends=*/false);
  RETURN_IF_ERROR(runtime.ChargeText(text.size() + lines.size() * indention.size()));
  const bool blank = bound.GetTruth(2, false);
  std::string result = bound.GetTruth(1, false) ? indention : "";
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) result += '\n';
    if (i > 0 && (blank || !lines[i].empty())) result += indention;
    absl::StrAppend(&result, lines[i]);
  }
  return input.is_markup() ? Value::Markup(std::move(result)) : Value::String(std::move(result));
}

absl::StatusOr<Value> Truncate(Runtime& runtime, const Value& input, const Arguments& arguments) {
  ASSIGN_OR_RETURN(
      const auto bound,
      BoundArguments::Bind("truncate", {"length", "killwords", "end", "leeway"}, 0, arguments));
  constexpr int64_t kDefaultLength = 255;
  constexpr int64_t kDefaultLeeway = 5;
  ASSIGN_OR_RETURN(const int64_t length, bound.GetInt(0, kDefaultLength));
  ASSIGN_OR_RETURN(const std::string end, bound.GetString(2, "..."));
  ASSIGN_OR_RETURN(const int64_t leeway, bound.GetInt(3, kDefaultLeeway));
  const auto end_length = static_cast<int64_t>(CountCodePoints(end));
  if (length < end_length || leeway < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("expected length >= ", end_length, ", got ", length, ", and leeway >= 0"));
  }
  ASSIGN_OR_RETURN(const std::optional<int64_t> input_length, GetLength(input));
  if (input_length.has_value() && *input_length <= length + leeway) return input;
  if (!input.is_string()) {
    return absl::InvalidArgumentError(absl::StrCat("truncate() wants str, not ", TypeName(input)));
  }
  const std::string& text = input.text();
  RETURN_IF_ERROR(runtime.ChargeText(text.size()));
  absl::string_view kept = text;
  kept = kept.substr(0, OffsetOfCodePoint(text, static_cast<size_t>(length - end_length)));
  if (!bound.GetTruth(1, false)) kept = kept.substr(0, kept.rfind(' '));
  return Value::String(absl::StrCat(kept, end));
}

absl::StatusOr<Value> WordCount(Runtime& runtime, const Value& input, const Arguments& arguments) {
  RETURN_IF_ERROR(ExpectNoArguments("wordcount", arguments));
  ASSIGN_OR_RETURN(const std::string text, ToText(runtime, input));
  RETURN_IF_ERROR(runtime.ChargeText(text.size()));
  int64_t count = 0;
  bool in_word = false;
  for (absl::string_view rest = text; !rest.empty();) {
    const Utf8Character character = ReadUtf8(rest);
    const char32_t c = character.code_point;
    const bool word = IsAlphabetic(c) || IsNumeric(c) || c == '_';
    if (word && !in_word) ++count;
    in_word = word;
    rest.remove_prefix(character.num_bytes);
  }
  return Value::Int(count);
}

absl::StatusOr<Value> Safe(Runtime& runtime, const Value& input, const Arguments& arguments) {
  RETURN_IF_ERROR(ExpectNoArguments("safe", arguments));
  ASSIGN_OR_RETURN(std::string text, ToText(runtime, input));
  return Value::Markup(std::move(text));
}

absl::StatusOr<Value> ForceEscape(Runtime& runtime, const Value& input,
                                  const Arguments& arguments) {
  RETURN_IF_ERROR(ExpectNoArguments("escape", arguments));
  ASSIGN_OR_RETURN(const std::string text, ToText(runtime, input));
  RETURN_IF_ERROR(runtime.ChargeText(text.size()));
  return Value::Markup(EscapeHtml(text));
}

absl::StatusOr<Value> Escape(Runtime& runtime, const Value& input, const Arguments& arguments) {
  return input.is_markup() ? input : ForceEscape(runtime, input, arguments);
}

absl::StatusOr<Value> ApplyFormat(Runtime& runtime, const Value& input,
                                  const Arguments& arguments) {
  if (!arguments.positional.empty() && !arguments.keyword.empty()) {
    return absl::InvalidArgumentError(
        "can't handle positional and keyword arguments at the same time");
  }
  ASSIGN_OR_RETURN(const Value text, SoftText(runtime, input));
  if (arguments.keyword.empty()) {
    return FormatPercent(runtime, text, Value::Tuple(arguments.positional));
  }
  Dict named;
  for (const auto& [name, value] : arguments.keyword) {
    RETURN_IF_ERROR(named.Set(Value::String(name), value));
  }
  return FormatPercent(runtime, text, Value::Mapping(std::move(named)));
}

// Percent-encoding of everything but letters, digits and _.-~ and, in a path, the slash.
std::string UrlQuote(absl::string_view text, bool in_query) {
  std::string quoted;
  for (const char c : text) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' || c == '-' ||
        c == '~' || (c == '/' && !in_query)) {
      quoted.push_back(c);
    } else if (c == ' ' && in_query) {
      quoted.push_back('+');
    } else {
      absl::StrAppendFormat(&quoted, "%%%02X", static_cast<unsigned char>(c));
    }
  }
  return quoted;
}

absl::StatusOr<Value> UrlEncode(Runtime& runtime, const Value& input, const Arguments& arguments) {
  RETURN_IF_ERROR(ExpectNoArguments("urlencode", arguments));
  if (input.is_string() || !IsIterable(input)) {
    ASSIGN_OR_RETURN(const std::string text, ToText(runtime, input));
    RETURN_IF_ERROR(runtime.ChargeText(text.size() * 3));
    return Value::String(UrlQuote(text, /*in_query=*/false));
  }
  std::vector<std::vector<Value>> pairs;
  if (input.is_dict()) {
    for (const auto& [key, value] : input.dict().entries()) pairs.push_back({key, value});
  } else {
    ASSIGN_OR_RETURN(const std::vector<Value> items, ToVector(runtime, input));
    for (const Value& item : items) {
      ASSIGN_OR_RETURN(std::vector<Value> pair, ToVector(runtime, item));
      if (pair.size() != 2) return absl::InvalidArgumentError("urlencode() wants pairs");
      pairs.push_back(std::move(pair));
    }
  }
  std::string query;
  for (const std::vector<Value>& pair : pairs) {
    ASSIGN_OR_RETURN(const std::string key, ToText(runtime, pair[0]));
    ASSIGN_OR_RETURN(const std::string value, ToText(runtime, pair[1]));
    RETURN_IF_ERROR(runtime.ChargeText((key.size() + value.size()) * 3));
    absl::StrAppend(&query, query.empty() ? "" : "&", UrlQuote(key, true), "=",
                    UrlQuote(value, true));
    RETURN_IF_ERROR(runtime.CheckText(query.size()));
  }
  return Value::String(std::move(query));
}

}  // namespace

Filter FindTextFilter(absl::string_view name) {
  static const auto* const kFilters = new absl::flat_hash_map<absl::string_view, Filter>({
      {"capitalize", CapitalizeFilter},
      {"center", Center},
      {"e", Escape},
      {"escape", Escape},
      {"forceescape", ForceEscape},
      {"format", ApplyFormat},
      {"indent", Indent},
      {"lower", Lower},
      {"replace", ReplaceText},
      {"safe", Safe},
      {"string", String},
      {"title", Title},
      {"trim", Trim},
      {"truncate", Truncate},
      {"upper", Upper},
      {"urlencode", UrlEncode},
      {"wordcount", WordCount},
  });
  const auto found = kFilters->find(name);
  return found == kFilters->end() ? nullptr : found->second;
}

}  // namespace tandem::jinja
