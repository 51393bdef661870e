// Python's operators on values: truth, comparison, membership, arithmetic.
//
// What Python raises (TypeError, ZeroDivisionError, Jinja's UndefinedError...) is INVALID_ARGUMENT
// here, with Python's words.
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/tokenizer/jinja_runtime.h"
#include "engine/tokenizer/jinja_value.h"

namespace tandem::jinja {

enum class BinaryOperator { kAdd, kSub, kMul, kDiv, kFloorDiv, kMod, kPow };
enum class CompareOperator { kEq, kNe, kLt, kLe, kGt, kGe, kIn, kNotIn };

// The message of an Undefined as an error; OK for every other value.
absl::Status CheckDefined(const Value& value);

// Python's bool().
bool IsTrue(const Value& value);

absl::StatusOr<bool> Equals(Runtime& runtime, const Value& a, const Value& b);
// a < b: numbers, texts, lists and tuples among themselves.
absl::StatusOr<bool> IsLess(Runtime& runtime, const Value& a, const Value& b);
absl::StatusOr<bool> Compare(Runtime& runtime, CompareOperator op, const Value& a, const Value& b);
// item in container
absl::StatusOr<bool> Contains(Runtime& runtime, const Value& container, const Value& item);

absl::StatusOr<Value> Calculate(Runtime& runtime, BinaryOperator op, const Value& a,
                                const Value& b);
absl::StatusOr<Value> Negate(const Value& value);
// Unary plus.
absl::StatusOr<Value> Plus(const Value& value);

// Text with & < > " ' replaced by entities. Markup stays as it is.
std::string EscapeHtml(absl::string_view text);

}  // namespace tandem::jinja
