// text % values: formatting in the manner of C's printf.
#pragma once

#include "absl/status/statusor.h"
#include "engine/tokenizer/jinja_runtime.h"
#include "engine/tokenizer/jinja_value.h"

namespace tandem::jinja {

// `values` is a tuple, a dict for %(name)s, or one value. Markup escapes what it takes in.
// INVALID_ARGUMENT for a malformed directive, and for too few or too many values.
absl::StatusOr<Value> FormatPercent(Runtime& runtime, const Value& format, const Value& values);

}  // namespace tandem::jinja
