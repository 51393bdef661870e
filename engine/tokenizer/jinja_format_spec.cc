#include "engine/tokenizer/jinja_format_spec.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "engine/tokenizer/jinja_repr.h"
#include "engine/tokenizer/jinja_text.h"
#include "engine/tokenizer/utf8.h"

namespace tandem::jinja {
namespace {

// The longest width and precision that a template can want.
constexpr int64_t kMaxWidth = 100'000;
constexpr int64_t kMaxPrecision = 500;

bool IsAlign(char c) { return c == '<' || c == '>' || c == '^' || c == '='; }

// Reads digits at the start of `*text`; nullopt where there are none.
absl::StatusOr<std::optional<int64_t>> TakeNumber(absl::string_view* text, int64_t max) {
  if (text->empty() || !absl::ascii_isdigit(static_cast<unsigned char>((*text)[0]))) {
    return std::nullopt;
  }
  int64_t number = 0;
  while (!text->empty() && absl::ascii_isdigit(static_cast<unsigned char>((*text)[0]))) {
    number = number * 10 + ((*text)[0] - '0');
    if (number > max) {
      return absl::InvalidArgumentError(
          absl::StrCat("a width or precision of a format is above ", max));
    }
    text->remove_prefix(1);
  }
  return number;
}

bool TakeCharacter(absl::string_view* text, char wanted) {
  if (text->empty() || (*text)[0] != wanted) return false;
  text->remove_prefix(1);
  return true;
}

// A number in parts, as padding and grouping need it.
struct NumberText {
  std::string sign;    // "", "-", "+" or " ", then "0x" and the like
  std::string digits;  // of the integer part
  std::string rest;    // fraction and exponent
};

void GroupDigits(const FormatSpec& spec, int64_t min_size, std::string* digits) {
  const size_t group =
      spec.type == 'b' || spec.type == 'o' || spec.type == 'x' || spec.type == 'X' ? 4 : 3;
  std::string grouped;  // reversed
  size_t num_digits = 0;
  for (auto digit = digits->rbegin();; ++num_digits) {
    const bool padding = digit == digits->rend();
    if (padding && static_cast<int64_t>(grouped.size()) >= min_size) break;
    if (num_digits > 0 && num_digits % group == 0) grouped.push_back(spec.grouping);
    grouped.push_back(padding ? '0' : *digit++);
  }
  digits->assign(grouped.rbegin(), grouped.rend());
}

std::string Pad(std::string before, std::string text, const FormatSpec& spec, char default_align) {
  const auto length = static_cast<int64_t>(CountCodePoints(before) + CountCodePoints(text));
  const int64_t padding = std::max<int64_t>(spec.width - length, 0);
  const char align = spec.align == 0 ? default_align : spec.align;
  if (align != '=') {
    text = before + text;
    before.clear();
  }
  const int64_t left = align == '<' ? 0 : align == '^' ? padding / 2 : padding;
  std::string result = std::move(before);
  for (int64_t i = 0; i < left; ++i) result += spec.fill;
  result += text;
  for (int64_t i = left; i < padding; ++i) result += spec.fill;
  return result;
}

std::string FinishNumber(NumberText number, const FormatSpec& spec) {
  if (spec.grouping != 0) {
    const bool zero_fill = spec.fill == "0" && spec.align == '=';
    const auto others = static_cast<int64_t>(number.sign.size() + number.rest.size());
    GroupDigits(spec, zero_fill ? spec.width - others : 0, &number.digits);
  }
  return Pad(number.sign, number.digits + number.rest, spec, '>');
}

std::string SignText(bool negative, const FormatSpec& spec) {
  if (negative) return "-";
  return spec.sign == '-' ? "" : std::string(1, spec.sign);
}

std::string DigitsOf(Integer value, unsigned base, bool upper) {
  auto magnitude = static_cast<unsigned __int128>(value);
  if (value < 0) magnitude = -magnitude;
  std::string digits;
  do {
    const auto digit = static_cast<unsigned>(magnitude % base);
    digits.push_back((upper ? "0123456789ABCDEF" : "0123456789abcdef")[digit]);
    magnitude /= base;
  } while (magnitude != 0);
  std::reverse(digits.begin(), digits.end());
  return digits;
}

absl::StatusOr<std::string> FormatInteger(Integer value, const FormatSpec& spec) {
  if (spec.precision.has_value()) {
    return absl::InvalidArgumentError("Precision not allowed in integer format specifier");
  }
  if (spec.type == 'c') {
    if (value < 0 || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) {
      return absl::InvalidArgumentError("%c arg is no Unicode character");
    }
    std::string character;
    AppendUtf8(static_cast<char32_t>(value), &character);
    return Pad("", character, spec, '<');
  }
  unsigned base = 10;
  std::string prefix;
  if (spec.type == 'b') base = 2, prefix = "0b";
  if (spec.type == 'o') base = 8, prefix = "0o";
  if (spec.type == 'x') base = 16, prefix = "0x";
  if (spec.type == 'X') base = 16, prefix = "0X";
  return FinishNumber({.sign = SignText(value < 0, spec) + (spec.alternate ? prefix : ""),
                       .digits = DigitsOf(value, base, spec.type == 'X'),
                       .rest = ""},
                      spec);
}

std::string Printf(const char* format, int precision, double number) {
  std::string text(static_cast<size_t>(std::snprintf(nullptr, 0, format, precision, number)), 0);
  std::snprintf(text.data(), text.size() + 1, format, precision, number);
  return text;
}

// Digits of a float with a precision and no type: like 'g', but it still looks like a float.
std::string GeneralWithPoint(double number, int precision) {
  precision = std::max(precision, 1);
  const std::string scientific = Printf("%.*e", precision - 1, number);
  const int exponent = std::stoi(scientific.substr(scientific.find('e') + 1));
  if (exponent == precision - 1) {  // 'g' would write it without an exponent.
    std::string mantissa = scientific.substr(0, scientific.find('e'));
    if (absl::StrContains(mantissa, ".")) {
      mantissa.erase(mantissa.find_last_not_of('0') + 1);
      if (mantissa.back() == '.') mantissa.pop_back();
    }
    return mantissa + scientific.substr(scientific.find('e'));
  }
  const std::string general = Printf("%.*g", precision, number);
  return absl::StrContains(general, ".") || absl::StrContains(general, "e") ? general
                                                                            : general + ".0";
}

// Digits of a number that is not negative.
absl::StatusOr<std::string> FloatDigits(double number, const FormatSpec& spec) {
  const bool upper = absl::ascii_isupper(static_cast<unsigned char>(spec.type));
  if (!std::isfinite(number)) {
    const std::string text = std::isnan(number) ? "nan" : "inf";
    return (upper ? absl::AsciiStrToUpper(text) : text) + (spec.type == '%' ? "%" : "");
  }
  const int precision = static_cast<int>(spec.precision.value_or(6));
  switch (spec.type) {
    case 0:
      return spec.precision.has_value() ? GeneralWithPoint(number, precision) : FloatRepr(number);
    case 'e':
      return Printf(spec.alternate ? "%#.*e" : "%.*e", precision, number);
    case 'E':
      return Printf(spec.alternate ? "%#.*E" : "%.*E", precision, number);
    case 'f':
    case 'F':
      return Printf(spec.alternate ? "%#.*f" : "%.*f", precision, number);
    case 'g':
    case 'n':
      return Printf(spec.alternate ? "%#.*g" : "%.*g", precision, number);
    case 'G':
      return Printf(spec.alternate ? "%#.*G" : "%.*G", precision, number);
    case '%':
      return Printf("%.*f", precision, number * 100) + "%";
    default:
      return absl::InvalidArgumentError(absl::StrCat(
          "Unknown format code '", std::string(1, spec.type), "' for object of type 'float'"));
  }
}

absl::StatusOr<std::string> FormatFloat(double number, const FormatSpec& spec) {
  ASSIGN_OR_RETURN(const std::string text, FloatDigits(std::abs(number), spec));
  const size_t num_digits = std::min(text.find_first_not_of("0123456789"), text.size());
  return FinishNumber({.sign = SignText(std::signbit(number) && !std::isnan(number), spec),
                       .digits = text.substr(0, num_digits),
                       .rest = text.substr(num_digits)},
                      spec);
}

absl::StatusOr<std::string> FormatText(const std::string& text, const FormatSpec& spec) {
  if ((spec.type != 0 && spec.type != 's') || spec.align == '=' || spec.grouping != 0 ||
      spec.sign != '-') {
    return absl::InvalidArgumentError("the format specifier does not suit a text");
  }
  const size_t end = spec.precision.has_value()
                         ? OffsetOfCodePoint(text, static_cast<size_t>(*spec.precision))
                         : text.size();
  return Pad("", text.substr(0, end), spec, '<');
}

}  // namespace

absl::StatusOr<FormatSpec> ParseFormatSpec(absl::string_view text) {
  FormatSpec spec;
  const absl::string_view original = text;
  const size_t fill_size = OffsetOfCodePoint(text, 1);
  if (text.size() > fill_size && IsAlign(text[fill_size])) {
    spec.fill = std::string(text.substr(0, fill_size));
    spec.align = text[fill_size];
    text.remove_prefix(fill_size + 1);
  } else if (!text.empty() && IsAlign(text[0])) {
    spec.align = text[0];
    text.remove_prefix(1);
  }
  if (!text.empty() && (text[0] == '+' || text[0] == '-' || text[0] == ' ')) {
    spec.sign = text[0];
    text.remove_prefix(1);
  }
  spec.alternate = TakeCharacter(&text, '#');
  if (absl::StartsWith(text, "0") && spec.align == 0) {
    // A zero before the width: fills after the sign. Texts know only the fill.
    spec.fill = "0";
    spec.align = 'z';
    text.remove_prefix(1);
  }
  ASSIGN_OR_RETURN(const std::optional<int64_t> width, TakeNumber(&text, kMaxWidth));
  spec.width = width.value_or(0);
  if (!text.empty() && (text[0] == ',' || text[0] == '_')) {
    spec.grouping = text[0];
    text.remove_prefix(1);
  }
  if (TakeCharacter(&text, '.')) {
    ASSIGN_OR_RETURN(spec.precision, TakeNumber(&text, kMaxPrecision));
    if (!spec.precision.has_value()) {
      return absl::InvalidArgumentError("Format specifier missing precision");
    }
  }
  if (!text.empty()) {
    spec.type = text[0];
    text.remove_prefix(1);
  }
  if (!text.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("Invalid format specifier '", original, "'"));
  }
  return spec;
}

absl::StatusOr<std::string> FormatValue(Runtime& runtime, const Value& value,
                                        const FormatSpec& given) {
  FormatSpec spec = given;
  if (spec.align == 'z') spec.align = value.is_string() ? '<' : '=';
  RETURN_IF_ERROR(runtime.ChargeText(static_cast<size_t>(spec.width) * spec.fill.size()));
  if (value.is_string()) return FormatText(value.text(), spec);
  if (value.is_float()) return FormatFloat(value.number(), spec);
  if (!value.is_integral()) {
    return absl::InvalidArgumentError(
        absl::StrCat("unsupported format string passed to ", TypeName(value), ".__format__"));
  }
  switch (spec.type) {
    case 0:
    case 'b':
    case 'c':
    case 'd':
    case 'n':
    case 'o':
    case 'x':
    case 'X':
      return FormatInteger(value.integer(), spec);
    case 's':
      return absl::InvalidArgumentError("Unknown format code 's' for object of type 'int'");
    default:
      return FormatFloat(value.number(), spec);
  }
}

absl::StatusOr<std::string> FormatValue(Runtime& runtime, const Value& value,
                                        absl::string_view spec) {
  if (spec.empty()) return ToText(runtime, value);
  ASSIGN_OR_RETURN(const FormatSpec parsed, ParseFormatSpec(spec));
  return FormatValue(runtime, value, parsed);
}

}  // namespace tandem::jinja
