#include "engine/tokenizer/jinja_numbers.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "engine/tokenizer/jinja_text.h"

namespace tandem::jinja {
namespace {

bool TakeSign(absl::string_view* text) {
  const bool negative = absl::StartsWith(*text, "-");
  if (negative || absl::StartsWith(*text, "+")) text->remove_prefix(1);
  return negative;
}

// The base that "0x" and the like say, or 0.
int64_t PrefixBase(absl::string_view text) {
  if (text.size() < 2 || text[0] != '0') return 0;
  switch (absl::ascii_tolower(static_cast<unsigned char>(text[1]))) {
    case 'b':
      return 2;
    case 'o':
      return 8;
    case 'x':
      return 16;
    default:
      return 0;
  }
}

// An underscore stands between two digits only.
bool UnderscoresAreBetweenDigits(absl::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') continue;
    if (i == 0 || i + 1 == text.size()) return false;
    if (DigitValue(text[i - 1]) < 0 || DigitValue(text[i + 1]) < 0) return false;
  }
  return true;
}

}  // namespace

int DigitValue(char c) {
  if (absl::ascii_isdigit(static_cast<unsigned char>(c))) return c - '0';
  if (!absl::ascii_isalpha(static_cast<unsigned char>(c))) return -1;
  return absl::ascii_tolower(static_cast<unsigned char>(c)) - 'a' + 10;
}

absl::StatusOr<std::optional<Integer>> ParseInteger(absl::string_view text, int64_t base) {
  if (base != 0 && (base < 2 || base > 36)) return std::nullopt;
  absl::string_view digits = Strip(text, {});
  const bool negative = TakeSign(&digits);
  const int64_t prefix = PrefixBase(digits);
  if (prefix != 0 && (base == 0 || base == prefix)) {
    base = prefix;
    digits.remove_prefix(2);
    if (absl::StartsWith(digits, "_")) digits.remove_prefix(1);
  } else if (base == 0) {
    base = 10;
    if (digits.size() > 1 && digits[0] == '0' &&
        digits.find_first_not_of("0_") != absl::string_view::npos) {
      return std::nullopt;
    }
  }
  if (digits.empty() || !UnderscoresAreBetweenDigits(digits)) return std::nullopt;
  Integer value = 0;
  bool overflow = false;
  for (const char c : digits) {
    if (c == '_') continue;
    const int digit = DigitValue(c);
    if (digit < 0 || digit >= base) return std::nullopt;
    overflow = overflow || __builtin_mul_overflow(value, Integer{base}, &value) ||
               __builtin_add_overflow(value, Integer{digit}, &value);
  }
  if (overflow) return absl::InvalidArgumentError("integer of more than 127 bits");
  return negative ? -value : value;
}

std::optional<double> ParseFloat(absl::string_view text) {
  absl::string_view stripped = Strip(text, {});
  std::string digits;
  if (!UnderscoresAreBetweenDigits(stripped)) return std::nullopt;
  for (const char c : stripped) {
    if (c != '_') digits.push_back(absl::ascii_tolower(static_cast<unsigned char>(c)));
  }
  absl::string_view magnitude = digits;
  TakeSign(&magnitude);
  const bool is_name = magnitude == "inf" || magnitude == "infinity" || magnitude == "nan";
  // strtod also reads hexadecimal, which Python does not.
  if (!is_name && (magnitude.empty() ||
                   magnitude.find_first_not_of("0123456789.e+-") != absl::string_view::npos)) {
    return std::nullopt;
  }
  char* end = nullptr;
  const double number = std::strtod(digits.c_str(), &end);
  if (end == digits.c_str() || *end != '\0') return std::nullopt;
  return number;
}

double RoundFloat(double number, int64_t precision) {
  // A double has at most 17 significant digits, between 1e-324 and 1e309.
  if (!std::isfinite(number) || precision > 350) return number;
  if (precision < -309) return std::copysign(0.0, number);
  if (precision >= 0) {
    // printf rounds the exact binary value to even, as Python does.
    char buffer[700];  // 309 digits before the point, 350 after it
    std::snprintf(buffer, sizeof(buffer), "%.*f", static_cast<int>(precision), number);
    return std::strtod(buffer, nullptr);
  }
  const double power = std::pow(10.0, static_cast<double>(-precision));
  return std::nearbyint(number / power) * power;
}

Integer RoundInteger(Integer number, int64_t precision) {
  if (precision >= 0) return number;
  if (precision < -38) return 0;
  Integer power = 1;
  for (int64_t i = 0; i > precision; --i) power *= 10;
  Integer quotient = number / power;
  const Integer remainder = number % power < 0 ? -(number % power) : number % power;
  const Integer half = power / 2;
  if (remainder > half || (remainder == half && quotient % 2 != 0)) {
    quotient += number < 0 ? -1 : 1;
  }
  return quotient * power;
}

}  // namespace tandem::jinja
