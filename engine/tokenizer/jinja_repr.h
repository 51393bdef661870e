// Values as text, in Python's words: str() and repr().
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/tokenizer/jinja_runtime.h"
#include "engine/tokenizer/jinja_value.h"

namespace tandem::jinja {

// str(): what {{ value }} prints. INVALID_ARGUMENT beyond the limits of the render.
absl::StatusOr<std::string> ToText(Runtime& runtime, const Value& value);

// repr(): texts in quotes. With `sort_keys`, dicts in the order of their keys (as pprint shows
// them).
absl::StatusOr<std::string> Repr(Runtime& runtime, const Value& value, bool sort_keys = false);

// repr() of a text, number or bool.
std::string QuoteText(absl::string_view text);
std::string FloatRepr(double number);
std::string NumberRepr(const Value& number);

}  // namespace tandem::jinja
