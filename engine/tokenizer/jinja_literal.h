// Literals of the template language as they stand in the source.
#pragma once

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/tokenizer/jinja_value.h"

namespace tandem::jinja {

struct NumberLiteral {
  size_t num_bytes = 0;
  bool is_float = false;
  Integer integer = 0;
  double number = 0;
};

// The number at byte `at` of `source`, where a digit stands: 1_000, 0x1F, 1.5e3. A number after a
// dot is an integer (x.0.1). INVALID_ARGUMENT for an integer of more than 127 bits.
absl::StatusOr<NumberLiteral> ReadNumber(absl::string_view source, size_t at);

// The text that the inside of a quoted literal means: Python's escapes (\n, \x41, \u00e9...).
// INVALID_ARGUMENT for a malformed escape; UNIMPLEMENTED for \N{name}.
absl::StatusOr<std::string> DecodeString(absl::string_view inside);

}  // namespace tandem::jinja
