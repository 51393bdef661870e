// Early return for absl::Status and absl::StatusOr, with Abseil's later spellings.
//
//   RETURN_IF_ERROR(Validate(config));
//   ASSIGN_OR_RETURN(const GgufFile file, GgufFile::Open(path));
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tandem {

// Appends `context` to the message of a failed status and keeps its code; OK passes through.
absl::Status Annotate(const absl::Status& status, absl::string_view context);

}  // namespace tandem

#define TANDEM_CONCAT_INNER(a, b) a##b
#define TANDEM_CONCAT(a, b) TANDEM_CONCAT_INNER(a, b)

// Evaluates `expr` once; returns its status from the enclosing function unless it is OK.
#define RETURN_IF_ERROR(expr)                      \
  do {                                             \
    absl::Status tandem_status = (expr);           \
    if (!tandem_status.ok()) return tandem_status; \
  } while (false)

// Evaluates `expr` (a StatusOr) once; moves its value into `lhs` or returns its status.
#define ASSIGN_OR_RETURN(lhs, expr) \
  TANDEM_ASSIGN_OR_RETURN(TANDEM_CONCAT(tandem_status_or_, __LINE__), lhs, expr)
// NOLINTBEGIN(bugprone-macro-parentheses): `lhs` may be a declaration
#define TANDEM_ASSIGN_OR_RETURN(tmp, lhs, expr)  \
  auto tmp = (expr);                             \
  if (!tmp.ok()) return std::move(tmp).status(); \
  lhs = std::move(tmp).value()
// NOLINTEND(bugprone-macro-parentheses)
