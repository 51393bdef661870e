// The arithmetic of jinja_operators.h.
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "engine/tokenizer/jinja_operators.h"
#include "engine/tokenizer/jinja_printf.h"

namespace tandem::jinja {
namespace {

absl::string_view Symbol(BinaryOperator op) {
  switch (op) {
    case BinaryOperator::kAdd:
      return "+";
    case BinaryOperator::kSub:
      return "-";
    case BinaryOperator::kMul:
      return "*";
    case BinaryOperator::kDiv:
      return "/";
    case BinaryOperator::kFloorDiv:
      return "//";
    case BinaryOperator::kMod:
      return "%";
    case BinaryOperator::kPow:
      return "**";
  }
  return "";
}

absl::Status UnsupportedOperands(BinaryOperator op, const Value& a, const Value& b) {
  return absl::InvalidArgumentError(absl::StrCat("unsupported operand type(s) for ", Symbol(op),
                                                 ": '", TypeName(a), "' and '", TypeName(b), "'"));
}

absl::Status Overflow() { return absl::InvalidArgumentError("integer of more than 127 bits"); }

absl::Status DivisionByZero() { return absl::InvalidArgumentError("division by zero"); }

// Rounds to minus infinity, as Python does. `b` is not 0.
Integer FloorDivide(Integer a, Integer b) {
  const Integer quotient = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

// Has the sign of `b`, as Python's.
double FloorModulo(double a, double b) {
  const double remainder = std::fmod(a, b);
  if (remainder == 0) return std::copysign(0.0, b);
  return (remainder < 0) != (b < 0) ? remainder + b : remainder;
}

// floor(a / b) as CPython computes it: from the remainder, so that it is exact.
double FloorDivide(double a, double b) {
  double remainder = std::fmod(a, b);
  double quotient = (a - remainder) / b;
  if (remainder != 0 && (remainder < 0) != (b < 0)) quotient -= 1;
  if (quotient == 0) return std::copysign(0.0, a / b);
  const double floor = std::floor(quotient);
  return quotient - floor > 0.5 ? floor + 1 : floor;
}

absl::StatusOr<Value> IntegerPower(Integer base, Integer exponent) {
  if (exponent < 0) {
    if (base == 0) {
      return absl::InvalidArgumentError("0.0 cannot be raised to a negative power");
    }
    return Value::Float(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  }
  Integer result = 1;
  while (exponent != 0) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) return Overflow();
    exponent >>= 1;
    if (exponent != 0 && __builtin_mul_overflow(base, base, &base)) return Overflow();
  }
  return Value::Int(result);
}

absl::StatusOr<Value> CalculateIntegers(BinaryOperator op, Integer a, Integer b) {
  Integer result = 0;
  bool overflow = false;
  switch (op) {
    case BinaryOperator::kAdd:
      overflow = __builtin_add_overflow(a, b, &result);
      break;
    case BinaryOperator::kSub:
      overflow = __builtin_sub_overflow(a, b, &result);
      break;
    case BinaryOperator::kMul:
      overflow = __builtin_mul_overflow(a, b, &result);
      break;
    case BinaryOperator::kDiv:
      if (b == 0) return DivisionByZero();
      return Value::Float(static_cast<double>(a) / static_cast<double>(b));
    case BinaryOperator::kFloorDiv:
    case BinaryOperator::kMod:
      if (b == 0) return absl::InvalidArgumentError("integer division or modulo by zero");
      if (b == -1) {  // The quotient of the smallest Integer overflows.
        overflow = __builtin_sub_overflow(Integer{0}, a, &result);
        if (op == BinaryOperator::kMod) return Value::Int(0);
        break;
      }
      result = FloorDivide(a, b);
      if (op == BinaryOperator::kMod) result = a - result * b;
      break;
    case BinaryOperator::kPow:
      return IntegerPower(a, b);
  }
  if (overflow) return Overflow();
  return Value::Int(result);
}

absl::StatusOr<Value> CalculateFloats(BinaryOperator op, double a, double b) {
  switch (op) {
    case BinaryOperator::kAdd:
      return Value::Float(a + b);
    case BinaryOperator::kSub:
      return Value::Float(a - b);
    case BinaryOperator::kMul:
      return Value::Float(a * b);
    case BinaryOperator::kDiv:
      if (b == 0) return absl::InvalidArgumentError("float division by zero");
      return Value::Float(a / b);
    case BinaryOperator::kFloorDiv:
      if (b == 0) return absl::InvalidArgumentError("float floor division by zero");
      return Value::Float(FloorDivide(a, b));
    case BinaryOperator::kMod:
      if (b == 0) return absl::InvalidArgumentError("float modulo");
      return Value::Float(FloorModulo(a, b));
    case BinaryOperator::kPow:
      break;
  }
  if (a == 0 && b < 0) {
    return absl::InvalidArgumentError("0.0 cannot be raised to a negative power");
  }
  const double result = std::pow(a, b);
  if (std::isinf(result) && std::isfinite(a) && std::isfinite(b)) {
    return absl::InvalidArgumentError("the result of ** is too large for a float");
  }
  if (std::isnan(result) && !std::isnan(a) && !std::isnan(b)) {
    return absl::InvalidArgumentError("complex numbers are not supported");
  }
  return Value::Float(result);
}

// Joining Markup with plain text escapes the plain one.
Value ConcatenateTexts(const Value& a, const Value& b) {
  if (!a.is_markup() && !b.is_markup()) return Value::String(absl::StrCat(a.text(), b.text()));
  const auto as_markup = [](const Value& value) {
    return value.is_markup() ? value.text() : EscapeHtml(value.text());
  };
  return Value::Markup(absl::StrCat(as_markup(a), as_markup(b)));
}

absl::StatusOr<Value> ConcatenateSequences(Runtime& runtime, const Value& a, const Value& b) {
  RETURN_IF_ERROR(runtime.Charge(static_cast<int64_t>(a.items().size() + b.items().size())));
  std::vector<Value> items = a.items();
  items.insert(items.end(), b.items().begin(), b.items().end());
  return a.is_list() ? Value::List(std::move(items)) : Value::Tuple(std::move(items));
}

absl::StatusOr<Value> Repeat(Runtime& runtime, const Value& value, Integer count) {
  const auto size =
      static_cast<Integer>(value.is_string() ? value.text().size() : value.items().size());
  if (count < 0 || size == 0) count = 0;
  Integer total = 0;
  if (__builtin_mul_overflow(size, count, &total) || total > std::numeric_limits<int32_t>::max()) {
    return absl::InvalidArgumentError("the result of * is too large");
  }
  if (value.is_string()) {
    RETURN_IF_ERROR(runtime.ChargeText(static_cast<size_t>(total)));
    std::string text;
    text.reserve(static_cast<size_t>(total));
    for (Integer i = 0; i < count; ++i) text += value.text();
    return value.is_markup() ? Value::Markup(std::move(text)) : Value::String(std::move(text));
  }
  RETURN_IF_ERROR(runtime.Charge(static_cast<int64_t>(total)));
  std::vector<Value> items;
  items.reserve(static_cast<size_t>(total));
  for (Integer i = 0; i < count; ++i) {
    items.insert(items.end(), value.items().begin(), value.items().end());
  }
  return value.is_list() ? Value::List(std::move(items)) : Value::Tuple(std::move(items));
}

}  // namespace

absl::StatusOr<Value> Calculate(Runtime& runtime, BinaryOperator op, const Value& a,
                                const Value& b) {
  // `text % undefined` formats the undefined as an empty text.
  if (op == BinaryOperator::kMod && a.is_string()) return FormatPercent(runtime, a, b);
  RETURN_IF_ERROR(CheckDefined(a));
  RETURN_IF_ERROR(CheckDefined(b));
  if (a.is_integral() && b.is_integral()) return CalculateIntegers(op, a.integer(), b.integer());
  if (a.is_number() && b.is_number()) return CalculateFloats(op, a.number(), b.number());
  const auto repeatable = [](const Value& value) {
    return value.is_string() || value.is_sequence();
  };
  if (op == BinaryOperator::kAdd && a.is_string() && b.is_string()) {
    RETURN_IF_ERROR(runtime.ChargeText(a.text().size() + b.text().size()));
    return ConcatenateTexts(a, b);
  }
  if (op == BinaryOperator::kAdd && a.is_sequence() && a.kind() == b.kind()) {
    return ConcatenateSequences(runtime, a, b);
  }
  if (op == BinaryOperator::kMul && repeatable(a) && b.is_integral()) {
    return Repeat(runtime, a, b.integer());
  }
  if (op == BinaryOperator::kMul && a.is_integral() && repeatable(b)) {
    return Repeat(runtime, b, a.integer());
  }
  if (op == BinaryOperator::kAdd && repeatable(a)) {
    const std::string type = a.is_string() ? "str" : TypeName(a);
    return absl::InvalidArgumentError(
        absl::StrCat("can only concatenate ", type, " (not \"", TypeName(b), "\") to ", type));
  }
  return UnsupportedOperands(op, a, b);
}

absl::StatusOr<Value> Negate(const Value& value) {
  RETURN_IF_ERROR(CheckDefined(value));
  if (value.is_integral()) return CalculateIntegers(BinaryOperator::kSub, 0, value.integer());
  if (value.is_float()) return Value::Float(-value.number());
  return absl::InvalidArgumentError(
      absl::StrCat("bad operand type for unary -: '", TypeName(value), "'"));
}

absl::StatusOr<Value> Plus(const Value& value) {
  RETURN_IF_ERROR(CheckDefined(value));
  if (value.is_integral()) return Value::Int(value.integer());
  if (value.is_float()) return value;
  return absl::InvalidArgumentError(
      absl::StrCat("bad operand type for unary +: '", TypeName(value), "'"));
}

}  // namespace tandem::jinja
