// Translation of a pattern from the dialect of Hugging Face tokenizers (Oniguruma in Ruby syntax)
// to PCRE2's, where the same spelling means something else:
//   \s \w     Unicode's White_Space, and Alphabetic with marks, digits and connectors
//   \p{Han}   the script itself, not its extensions
//   x{1,3}+   a repeated group, not a possessive one
//   \h        a hexadecimal digit
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tandem {

// INVALID_ARGUMENT names a construct that PCRE2 would misread: a class within a class, or &&.
absl::StatusOr<std::string> TranslateRegex(absl::string_view pattern);

}  // namespace tandem
