#include "engine/tokenizer/jinja_predicates.h"

#include <optional>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "engine/tokenizer/jinja_access.h"
#include "engine/tokenizer/jinja_arguments.h"
#include "engine/tokenizer/jinja_filters.h"
#include "engine/tokenizer/jinja_operators.h"
#include "engine/tokenizer/jinja_repr.h"
#include "engine/tokenizer/jinja_text.h"

namespace tandem::jinja {
namespace {

using Test = absl::StatusOr<bool> (*)(Runtime& runtime, const Value& value,
                                      const Arguments& arguments);

// A question about the value alone.
template <bool (*kQuestion)(const Value&)>
absl::StatusOr<bool> Ask(Runtime& runtime, const Value& value, const Arguments& arguments) {
  RETURN_IF_ERROR(ExpectNoArguments("test", arguments));
  return kQuestion(value);
}

bool IsDefined(const Value& value) { return !value.is_undefined(); }
bool IsUndefined(const Value& value) { return value.is_undefined(); }
bool IsNone(const Value& value) { return value.is_none(); }
bool IsBoolean(const Value& value) { return value.is_bool(); }
bool IsTrueValue(const Value& value) { return value.is_bool() && value.boolean(); }
bool IsFalseValue(const Value& value) { return value.is_bool() && !value.boolean(); }
bool IsInteger(const Value& value) { return value.is_int(); }
bool IsFloat(const Value& value) { return value.is_float(); }
bool IsNumber(const Value& value) { return value.is_number(); }
bool IsString(const Value& value) { return value.is_string(); }
bool IsMapping(const Value& value) { return value.is_dict(); }
bool IsEscaped(const Value& value) { return value.is_markup(); }

// Has a length and can be indexed; an Undefined claims both.
bool IsSequence(const Value& value) {
  return value.is_undefined() || value.is_string() || value.is_sequence() || value.is_dict() ||
         ObjectCast<Range>(value) != nullptr;
}

bool IsCallable(const Value& value) {
  return value.is_undefined() || (value.is_object() && value.object()->callable());
}

template <bool (*kQuestion)(absl::string_view)>
absl::StatusOr<bool> AskText(Runtime& runtime, const Value& value, const Arguments& arguments) {
  RETURN_IF_ERROR(ExpectNoArguments("test", arguments));
  ASSIGN_OR_RETURN(const std::string text, ToText(runtime, value));
  return kQuestion(text);
}

template <bool (*kIsKnown)(absl::string_view)>
absl::StatusOr<bool> AskName(Runtime& runtime, const Value& value, const Arguments& arguments) {
  RETURN_IF_ERROR(ExpectNoArguments("test", arguments));
  RETURN_IF_ERROR(HashKey(value).status());
  return value.is_string() && kIsKnown(value.text());
}

// value % divisor == remainder
absl::StatusOr<bool> HasRemainder(Runtime& runtime, const Value& value, const Value& divisor,
                                  int remainder) {
  ASSIGN_OR_RETURN(const Value modulo, Calculate(runtime, BinaryOperator::kMod, value, divisor));
  return Equals(runtime, modulo, Value::Int(remainder));
}

template <int kRemainder>
absl::StatusOr<bool> Parity(Runtime& runtime, const Value& value, const Arguments& arguments) {
  RETURN_IF_ERROR(ExpectNoArguments("test", arguments));
  return HasRemainder(runtime, value, Value::Int(2), kRemainder);
}

absl::StatusOr<bool> DivisibleBy(Runtime& runtime, const Value& value, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::Bind("divisibleby", {"num"}, 1, arguments));
  return HasRemainder(runtime, value, *bound[0], 0);
}

absl::StatusOr<bool> SameAs(Runtime& runtime, const Value& value, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::Bind("sameas", {"other"}, 1, arguments));
  return value.IsSame(*bound[0]);
}

template <CompareOperator kOperator>
absl::StatusOr<bool> CompareTest(Runtime& runtime, const Value& value, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::Bind("test", {"other"}, 1, arguments));
  return Compare(runtime, kOperator, value, *bound[0]);
}

const absl::flat_hash_map<absl::string_view, Test>& Tests() {
  static const auto* const kTests = new absl::flat_hash_map<absl::string_view, Test>({
      {"!=", CompareTest<CompareOperator::kNe>},
      {"<", CompareTest<CompareOperator::kLt>},
      {"<=", CompareTest<CompareOperator::kLe>},
      {"==", CompareTest<CompareOperator::kEq>},
      {">", CompareTest<CompareOperator::kGt>},
      {">=", CompareTest<CompareOperator::kGe>},
      {"boolean", Ask<IsBoolean>},
      {"callable", Ask<IsCallable>},
      {"defined", Ask<IsDefined>},
      {"divisibleby", DivisibleBy},
      {"eq", CompareTest<CompareOperator::kEq>},
      {"equalto", CompareTest<CompareOperator::kEq>},
      {"escaped", Ask<IsEscaped>},
      {"even", Parity<0>},
      {"false", Ask<IsFalseValue>},
      {"filter", AskName<IsKnownFilter>},
      {"float", Ask<IsFloat>},
      {"ge", CompareTest<CompareOperator::kGe>},
      {"greaterthan", CompareTest<CompareOperator::kGt>},
      {"gt", CompareTest<CompareOperator::kGt>},
      {"in", CompareTest<CompareOperator::kIn>},
      {"integer", Ask<IsInteger>},
      {"iterable", Ask<IsIterable>},
      {"le", CompareTest<CompareOperator::kLe>},
      {"lessthan", CompareTest<CompareOperator::kLt>},
      {"lower", AskText<IsLowerText>},
      {"lt", CompareTest<CompareOperator::kLt>},
      {"mapping", Ask<IsMapping>},
      {"ne", CompareTest<CompareOperator::kNe>},
      {"none", Ask<IsNone>},
      {"number", Ask<IsNumber>},
      {"odd", Parity<1>},
      {"sameas", SameAs},
      {"sequence", Ask<IsSequence>},
      {"string", Ask<IsString>},
      {"test", AskName<IsKnownTest>},
      {"true", Ask<IsTrueValue>},
      {"undefined", Ask<IsUndefined>},
      {"upper", AskText<IsUpperText>},
  });
  return *kTests;
}

}  // namespace

bool IsKnownTest(absl::string_view name) { return Tests().contains(name); }

absl::StatusOr<bool> CallTest(Runtime& runtime, absl::string_view name, const Value& value,
                              const Arguments& arguments) {
  const auto found = Tests().find(name);
  if (found == Tests().end()) {
    return absl::InvalidArgumentError(absl::StrCat("No test named '", name, "' found."));
  }
  return found->second(runtime, value, arguments);
}

}  // namespace tandem::jinja
