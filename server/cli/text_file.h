// Whole files: what the commands read and write. Errors name the file and the system's reason.
#pragma once

#include <ostream>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tandem {

// The bytes of the file. NOT_FOUND: there is none.
absl::StatusOr<std::string> ReadFile(const std::string& path);

// Replaces the file by what `write` writes.
absl::Status WriteFile(const std::string& path, absl::FunctionRef<void(std::ostream&)> write);

// Whether WriteFile could write it; makes an empty one where there is none.
absl::Status CheckWritable(const std::string& path);

}  // namespace tandem
