// Python's format specification (PEP 3101), such as ">8.3f", applied to one value.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/tokenizer/jinja_runtime.h"
#include "engine/tokenizer/jinja_value.h"

namespace tandem::jinja {

struct FormatSpec {
  std::string fill = " ";  // one character
  char align = 0;          // '<', '>', '^', '=' (between sign and digits); 0: by type
  char sign = '-';         // '-', '+' or ' '
  bool alternate = false;  // 0x before hexadecimal digits
  char grouping = 0;       // ',' or '_' between thousands
  int64_t width = 0;       // in characters
  std::optional<int64_t> precision;
  char type = 0;  // such as 'd', 'x', 'f', 's'; 0: by type
};

// INVALID_ARGUMENT for what is no specification.
absl::StatusOr<FormatSpec> ParseFormatSpec(absl::string_view text);

// A text, number or bool; INVALID_ARGUMENT for other values, and a type that does not suit.
absl::StatusOr<std::string> FormatValue(Runtime& runtime, const Value& value,
                                        const FormatSpec& spec);

// Python's format(value, text): an empty specification takes every value.
absl::StatusOr<std::string> FormatValue(Runtime& runtime, const Value& value,
                                        absl::string_view spec);

}  // namespace tandem::jinja
