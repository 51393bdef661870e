// Numbers read from text and rounded, as Python's int(), float() and round() do.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/tokenizer/jinja_value.h"

namespace tandem::jinja {

// The value of a digit in bases up to 36, or -1.
int DigitValue(char c);

// int(text, base): spaces around, a sign, single underscores and the base's prefix may be there.
// Nullopt for what is no integer. INVALID_ARGUMENT for one of more than 127 bits.
absl::StatusOr<std::optional<Integer>> ParseInteger(absl::string_view text, int64_t base);

// float(text). Nullopt for what is no number.
std::optional<double> ParseFloat(absl::string_view text);

// round(number, precision): correctly rounded, ties to even.
double RoundFloat(double number, int64_t precision);
Integer RoundInteger(Integer number, int64_t precision);

}  // namespace tandem::jinja
