// Errors about model files, always one line: "FILE: reason". Names that come out of a file are
// quoted, escaped and cut, since a hostile file chooses them.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace tandem {

// INVALID_ARGUMENT: the file contradicts its format, or itself.
template <typename... Parts>
absl::Status Malformed(absl::string_view file, const Parts&... reason) {
  return absl::InvalidArgumentError(absl::StrCat(file, ": ", reason...));
}

// UNIMPLEMENTED: a sound file that asks for something Tandem does not do.
template <typename... Parts>
absl::Status Unsupported(absl::string_view file, const Parts&... reason) {
  return absl::UnimplementedError(absl::StrCat(file, ": ", reason...));
}

// A name from a file, safe to print: "blk.0.attn_q.weight".
inline std::string Quoted(absl::string_view name) {
  constexpr size_t kLongestShown = 120;
  const bool cut = name.size() > kLongestShown;
  return absl::StrCat("\"", absl::CHexEscape(name.substr(0, kLongestShown)), cut ? "...\"" : "\"");
}

// Malformed, in the entry of tensor `name`.
inline absl::Status TensorError(absl::string_view file, absl::string_view name,
                                absl::string_view reason) {
  return Malformed(file, "tensor ", Quoted(name), ": ", reason);
}

// A shape, outermost dimension first: "[576, 1536]".
inline std::string ShapeString(absl::Span<const int64_t> shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

}  // namespace tandem
