// The tests of Jinja: value is name(arguments).
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/tokenizer/jinja_object.h"
#include "engine/tokenizer/jinja_runtime.h"
#include "engine/tokenizer/jinja_value.h"

namespace tandem::jinja {

// Whether Jinja has a test of that name.
bool IsKnownTest(absl::string_view name);

// INVALID_ARGUMENT for a name that is no test and for what Jinja raises.
absl::StatusOr<bool> CallTest(Runtime& runtime, absl::string_view name, const Value& value,
                              const Arguments& arguments);

}  // namespace tandem::jinja
