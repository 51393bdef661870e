#include "engine/tokenizer/jinja_operators.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "engine/core/status_macros.h"
#include "engine/tokenizer/jinja_access.h"
#include "engine/tokenizer/jinja_object.h"

namespace tandem::jinja {
namespace {

absl::string_view Symbol(CompareOperator op) {
  switch (op) {
    case CompareOperator::kLt:
      return "<";
    case CompareOperator::kLe:
      return "<=";
    case CompareOperator::kGt:
      return ">";
    case CompareOperator::kGe:
      return ">=";
    default:
      return "==";
  }
}

template <typename T>
int ThreeWay(T a, T b) {
  return a < b ? -1 : a > b;
}

// Exact, though not every integer is a double.
int CompareIntegerToFloat(Integer a, double b) {
  constexpr double kLimit = 1.7e38;  // 2^127
  if (b >= kLimit || b <= -kLimit) return b > 0 ? -1 : 1;
  const double whole = std::trunc(b);
  const int order = ThreeWay(a, static_cast<Integer>(whole));
  return order != 0 ? order : ThreeWay(whole, b);
}

// <0, 0, >0. The callers handle NaN.
int CompareNumbers(const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) return ThreeWay(a.integer(), b.integer());
  if (a.is_integral()) return CompareIntegerToFloat(a.integer(), b.number());
  if (b.is_integral()) return -CompareIntegerToFloat(b.integer(), a.number());
  return ThreeWay(a.number(), b.number());
}

bool IsNan(const Value& value) { return value.is_float() && value.number() != value.number(); }

absl::StatusOr<bool> SequencesEqual(Runtime& runtime, const Value& a, const Value& b) {
  if (a.IsSame(b)) return true;
  if (a.items().size() != b.items().size()) return false;
  for (size_t i = 0; i < a.items().size(); ++i) {
    ASSIGN_OR_RETURN(const bool equal, Equals(runtime, a.items()[i], b.items()[i]));
    if (!equal) return false;
  }
  return true;
}

absl::StatusOr<bool> DictsEqual(Runtime& runtime, const Dict& a, const Dict& b) {
  if (&a == &b) return true;
  if (a.size() != b.size()) return false;
  for (const auto& [key, value] : a.entries()) {
    ASSIGN_OR_RETURN(const Value* other, b.Find(key));
    if (other == nullptr) return false;
    ASSIGN_OR_RETURN(const bool equal, Equals(runtime, value, *other));
    if (!equal) return false;
  }
  return true;
}

// Two ranges are equal as sequences.
bool RangesEqual(const Range& a, const Range& b) {
  if (a.length() != b.length()) return false;
  return a.length() == 0 || (a.At(0) == b.At(0) && (a.length() == 1 || a.step() == b.step()));
}

// The order of the first items that differ.
absl::StatusOr<bool> SequencesOrdered(Runtime& runtime, CompareOperator op, const Value& a,
                                      const Value& b) {
  const size_t num_common = std::min(a.items().size(), b.items().size());
  for (size_t i = 0; i < num_common; ++i) {
    ASSIGN_OR_RETURN(const bool equal, Equals(runtime, a.items()[i], b.items()[i]));
    if (!equal) return Compare(runtime, op, a.items()[i], b.items()[i]);
  }
  const auto size = [](const Value& value) {
    return Value::Int(static_cast<Integer>(value.items().size()));
  };
  return Compare(runtime, op, size(a), size(b));
}

bool Ordered(CompareOperator op, int order) {
  switch (op) {
    case CompareOperator::kLt:
      return order < 0;
    case CompareOperator::kLe:
      return order <= 0;
    case CompareOperator::kGt:
      return order > 0;
    default:
      return order >= 0;
  }
}

}  // namespace

absl::Status CheckDefined(const Value& value) {
  return value.is_undefined() ? absl::InvalidArgumentError(value.undefined_message())
                              : absl::OkStatus();
}

bool IsTrue(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
    case Kind::kInt:
      return value.integer() != 0;
    case Kind::kFloat:
      return value.number() != 0;
    case Kind::kString:
      return !value.text().empty();
    case Kind::kList:
    case Kind::kTuple:
      return !value.items().empty();
    case Kind::kDict:
      return value.dict().size() > 0;
    case Kind::kObject:
      return value.object()->IsTrue();
  }
  return false;
}

absl::StatusOr<bool> Equals(Runtime& runtime, const Value& a, const Value& b) {
  RETURN_IF_ERROR(runtime.Charge(1));
  if (a.is_number() && b.is_number()) {
    return !IsNan(a) && !IsNan(b) && CompareNumbers(a, b) == 0;
  }
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return true;
    case Kind::kString:
      return a.text() == b.text();
    case Kind::kList:
    case Kind::kTuple:
      return SequencesEqual(runtime, a, b);
    case Kind::kDict:
      return DictsEqual(runtime, a.dict(), b.dict());
    default: {
      const Range* a_range = ObjectCast<Range>(a);
      const Range* b_range = ObjectCast<Range>(b);
      if (a_range != nullptr && b_range != nullptr) return RangesEqual(*a_range, *b_range);
      return a.IsSame(b);
    }
  }
}

absl::StatusOr<bool> IsLess(Runtime& runtime, const Value& a, const Value& b) {
  return Compare(runtime, CompareOperator::kLt, a, b);
}

absl::StatusOr<bool> Compare(Runtime& runtime, CompareOperator op, const Value& a, const Value& b) {
  RETURN_IF_ERROR(runtime.Charge(1));
  switch (op) {
    case CompareOperator::kEq:
      return Equals(runtime, a, b);
    case CompareOperator::kNe: {
      ASSIGN_OR_RETURN(const bool equal, Equals(runtime, a, b));
      return !equal;
    }
    case CompareOperator::kIn:
      return Contains(runtime, b, a);
    case CompareOperator::kNotIn: {
      ASSIGN_OR_RETURN(const bool found, Contains(runtime, b, a));
      return !found;
    }
    default:
      break;
  }
  RETURN_IF_ERROR(CheckDefined(a));
  RETURN_IF_ERROR(CheckDefined(b));
  if (a.is_number() && b.is_number()) {
    return !IsNan(a) && !IsNan(b) && Ordered(op, CompareNumbers(a, b));
  }
  // The order of UTF-8 bytes is that of code points.
  if (a.is_string() && b.is_string()) return Ordered(op, a.text().compare(b.text()));
  if (a.is_sequence() && a.kind() == b.kind()) return SequencesOrdered(runtime, op, a, b);
  return absl::InvalidArgumentError(absl::StrCat("'", Symbol(op),
                                                 "' not supported between instances of '",
                                                 TypeName(a), "' and '", TypeName(b), "'"));
}

absl::StatusOr<bool> Contains(Runtime& runtime, const Value& container, const Value& item) {
  if (container.is_string()) {
    if (!item.is_string()) {
      return absl::InvalidArgumentError(
          absl::StrCat("'in <string>' requires string as left operand, not ", TypeName(item)));
    }
    RETURN_IF_ERROR(runtime.ChargeSearch(container.text().size(), item.text().size()));
    return absl::StrContains(container.text(), item.text());
  }
  if (container.is_dict()) {
    ASSIGN_OR_RETURN(const Value* found, container.dict().Find(item));
    return found != nullptr;
  }
  const DictView* view = ObjectCast<DictView>(container);
  if (view != nullptr && view->part() == DictView::Part::kKeys) {
    return Contains(runtime, view->dict(), item);
  }
  if (!IsIterable(container)) {
    return absl::InvalidArgumentError(
        absl::StrCat("argument of type '", TypeName(container), "' is not iterable"));
  }
  ASSIGN_OR_RETURN(const std::shared_ptr<Iterator> iterator, Iterate(container));
  while (true) {
    ASSIGN_OR_RETURN(const std::optional<Value> candidate, iterator->Next());
    if (!candidate.has_value()) return false;
    if (candidate->IsSame(item)) return true;
    ASSIGN_OR_RETURN(const bool equal, Equals(runtime, *candidate, item));
    if (equal) return true;
  }
}

std::string EscapeHtml(absl::string_view text) {
  return absl::StrReplaceAll(
      text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"'", "&#39;"}, {"\"", "&#34;"}});
}

}  // namespace tandem::jinja
