#include "engine/tokenizer/jinja_literal.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "engine/core/status_macros.h"
#include "engine/tokenizer/jinja_numbers.h"
#include "engine/tokenizer/utf8.h"

namespace tandem::jinja {
namespace {

bool IsDigitOf(absl::string_view source, size_t at, int base) {
  return at < source.size() && DigitValue(source[at]) >= 0 && DigitValue(source[at]) < base;
}

// End of a run of digits with single underscores between them. Equal to `at` where there is none.
size_t SkipDigits(absl::string_view source, size_t at, int base) {
  if (!IsDigitOf(source, at, base)) return at;
  while (true) {
    if (IsDigitOf(source, at, base)) {
      ++at;
    } else if (at < source.size() && source[at] == '_' && IsDigitOf(source, at + 1, base)) {
      at += 2;
    } else {
      return at;
    }
  }
}

absl::StatusOr<Integer> ParseDigits(absl::string_view digits, int base) {
  Integer value = 0;
  for (const char c : digits) {
    if (c == '_') continue;
    if (__builtin_mul_overflow(value, Integer{base}, &value) ||
        __builtin_add_overflow(value, Integer{DigitValue(c)}, &value)) {
      return absl::InvalidArgumentError(absl::StrCat("integer of more than 127 bits: ", digits));
    }
  }
  return value;
}

// End of the float at `at`, or `at` where there is an integer only.
size_t SkipFloat(absl::string_view source, size_t at) {
  if (at > 0 && source[at - 1] == '.') return at;
  const size_t whole_end = SkipDigits(source, at, 10);
  size_t end = whole_end;
  if (end < source.size() && source[end] == '.' && IsDigitOf(source, end + 1, 10)) {
    end = SkipDigits(source, end + 1, 10);
  }
  if (end < source.size() && (source[end] == 'e' || source[end] == 'E')) {
    size_t exponent = end + 1;
    if (exponent < source.size() && (source[exponent] == '+' || source[exponent] == '-')) {
      ++exponent;
    }
    if (IsDigitOf(source, exponent, 10)) end = SkipDigits(source, exponent, 10);
  }
  return end == whole_end ? at : end;
}

int PrefixBase(absl::string_view source, size_t at) {
  if (source[at] != '0' || at + 1 >= source.size()) return 10;
  switch (absl::ascii_tolower(static_cast<unsigned char>(source[at + 1]))) {
    case 'b':
      return 2;
    case 'o':
      return 8;
    case 'x':
      return 16;
    default:
      return 10;
  }
}

// Decodes one text; `rest_` begins with what is not decoded yet.
class StringDecoder {
 public:
  explicit StringDecoder(absl::string_view inside) : rest_(inside) {}

  absl::StatusOr<std::string> Decode() {
    while (!rest_.empty()) {
      const size_t backslash = std::min(rest_.find('\\'), rest_.size());
      absl::StrAppend(&out_, rest_.substr(0, backslash));
      rest_.remove_prefix(backslash);
      if (rest_.empty()) break;
      if (rest_.size() == 1) return absl::InvalidArgumentError("\\ at end of string");
      const char c = rest_[1];
      rest_.remove_prefix(2);
      RETURN_IF_ERROR(DecodeEscape(c));
    }
    return std::move(out_);
  }

 private:
  absl::Status DecodeEscape(char c) {
    static constexpr absl::string_view kLetters = "\\'\"abfnrtv";
    static constexpr absl::string_view kMeanings = "\\'\"\a\b\f\n\r\t\v";
    if (const size_t found = kLetters.find(c); found != absl::string_view::npos) {
      out_.push_back(kMeanings[found]);
      return absl::OkStatus();
    }
    if (c == '\n') return absl::OkStatus();
    if (c == 'x') return AppendHex(2);
    if (c == 'u') return AppendHex(4);
    if (c == 'U') return AppendHex(8);
    if (c == 'N') return absl::UnimplementedError("the escape \\N{...} is not supported");
    if (c >= '0' && c <= '7') {
      AppendOctal(c);
    } else if ((c & 0x80) != 0) {
      AppendEscapedCharacter(c);
    } else {
      out_.push_back('\\');
      out_.push_back(c);
    }
    return absl::OkStatus();
  }

  absl::Status AppendHex(size_t num_digits) {
    char32_t code_point = 0;
    for (size_t i = 0; i < num_digits; ++i) {
      if (!IsDigitOf(rest_, i, 16))
        return absl::InvalidArgumentError("truncated \\x or \\u escape");
      code_point = code_point * 16 + static_cast<char32_t>(DigitValue(rest_[i]));
    }
    if (code_point > 0x10FFFF || (code_point >= 0xD800 && code_point < 0xE000)) {
      return absl::InvalidArgumentError(
          absl::StrCat("the escape \\u", absl::Hex(code_point), " is no Unicode character"));
    }
    AppendUtf8(code_point, &out_);
    rest_.remove_prefix(num_digits);
    return absl::OkStatus();
  }

  void AppendOctal(char first) {
    char32_t code_point = static_cast<char32_t>(first - '0');
    for (int i = 0; i < 2 && IsDigitOf(rest_, 0, 8); ++i) {
      code_point = code_point * 8 + static_cast<char32_t>(DigitValue(rest_[0]));
      rest_.remove_prefix(1);
    }
    AppendUtf8(code_point, &out_);
  }

  // Jinja turns a character beyond ASCII into an escape before it decodes escapes, so that after a
  // backslash the letters of that escape stay.
  void AppendEscapedCharacter(char first) {
    const std::string bytes = absl::StrCat(std::string(1, first), rest_.substr(0, 3));
    const Utf8Character character = ReadUtf8(bytes);
    const auto code_point = static_cast<uint32_t>(character.code_point);
    out_.push_back('\\');
    if (code_point < 0x100) {
      absl::StrAppendFormat(&out_, "x%02x", code_point);
    } else if (code_point < 0x10000) {
      absl::StrAppendFormat(&out_, "u%04x", code_point);
    } else {
      absl::StrAppendFormat(&out_, "U%08x", code_point);
    }
    rest_.remove_prefix(character.num_bytes - 1);
  }

  absl::string_view rest_;
  std::string out_;
};

}  // namespace

absl::StatusOr<NumberLiteral> ReadNumber(absl::string_view source, size_t at) {
  NumberLiteral literal;
  if (const size_t end = SkipFloat(source, at); end > at) {
    const std::string digits = absl::StrReplaceAll(source.substr(at, end - at), {{"_", ""}});
    literal.is_float = true;
    literal.number = std::strtod(digits.c_str(), nullptr);
    literal.num_bytes = end - at;
    return literal;
  }
  int base = PrefixBase(source, at);
  size_t begin = base == 10 ? at : at + 2;
  // An underscore may follow the prefix.
  if (base != 10 && begin < source.size() && source[begin] == '_') ++begin;
  if (base != 10 && !IsDigitOf(source, begin, base)) {
    base = 10;
    begin = at;
  }
  size_t end = SkipDigits(source, begin, base);
  if (base == 10 && source[at] == '0') {
    // Zeros only: Python has no decimal number with a zero before it.
    end = at + 1;
    while (end < source.size() &&
           (source[end] == '0' ||
            (source[end] == '_' && end + 1 < source.size() && source[end + 1] == '0'))) {
      ++end;
    }
  }
  ASSIGN_OR_RETURN(literal.integer, ParseDigits(source.substr(begin, end - begin), base));
  literal.num_bytes = end - at;
  return literal;
}

absl::StatusOr<std::string> DecodeString(absl::string_view inside) {
  return StringDecoder(inside).Decode();
}

}  // namespace tandem::jinja
