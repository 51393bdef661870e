// str.format(): replacement fields in braces (PEP 3101).
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/tokenizer/jinja_object.h"
#include "engine/tokenizer/jinja_runtime.h"

namespace tandem::jinja {

// `format` with its fields replaced by the arguments. INVALID_ARGUMENT for a malformed field and
// for a missing argument.
absl::StatusOr<std::string> FormatBraces(Runtime& runtime, absl::string_view format,
                                         const Arguments& arguments);

}  // namespace tandem::jinja
