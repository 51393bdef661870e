// Filters for numbers, defaults and JSON.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "engine/tokenizer/jinja_access.h"
#include "engine/tokenizer/jinja_arguments.h"
#include "engine/tokenizer/jinja_filters.h"
#include "engine/tokenizer/jinja_json.h"
#include "engine/tokenizer/jinja_numbers.h"
#include "engine/tokenizer/jinja_operators.h"
#include "engine/tokenizer/jinja_repr.h"

namespace tandem::jinja {
namespace {

absl::StatusOr<Value> Default(Runtime& runtime, const Value& input, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::Bind("default", {"default_value", "boolean"}, 0, arguments));
  const bool replace = input.is_undefined() || (bound.GetTruth(1, false) && !IsTrue(input));
  if (!replace) return input;
  return bound.Has(0) ? *bound[0] : Value::String(std::string());
}

absl::StatusOr<Value> Abs(Runtime& runtime, const Value& input, const Arguments& arguments) {
  RETURN_IF_ERROR(ExpectNoArguments("abs", arguments));
  RETURN_IF_ERROR(CheckDefined(input));
  if (input.is_float()) return Value::Float(std::abs(input.number()));
  if (input.is_integral()) return input.integer() < 0 ? Negate(input) : Plus(input);
  return absl::InvalidArgumentError(
      absl::StrCat("bad operand type for abs(): '", TypeName(input), "'"));
}

absl::StatusOr<Value> FloatToInt(double number) {
  if (std::isinf(number)) {
    return absl::InvalidArgumentError("cannot convert float infinity to integer");
  }
  constexpr double kMaxMagnitude = 1e38;
  if (std::abs(number) > kMaxMagnitude) {
    return absl::InvalidArgumentError("integer of more than 127 bits");
  }
  return Value::Int(static_cast<Integer>(number));
}

absl::StatusOr<Value> Int(Runtime& runtime, const Value& input, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::Bind("int", {"default", "base"}, 0, arguments));
  constexpr int64_t kDefaultBase = 10;
  ASSIGN_OR_RETURN(const int64_t base, bound.GetInt(1, kDefaultBase));
  RETURN_IF_ERROR(CheckDefined(input));
  const Value fallback = bound.Has(0) ? *bound[0] : Value::Int(0);
  if (input.is_integral()) return Value::Int(input.integer());
  if (input.is_float()) return std::isnan(input.number()) ? fallback : FloatToInt(input.number());
  if (!input.is_string()) return fallback;
  ASSIGN_OR_RETURN(const std::optional<Integer> integer, ParseInteger(input.text(), base));
  if (integer.has_value()) return Value::Int(*integer);
  // "42.23" has an integer too.
  const std::optional<double> number = ParseFloat(input.text());
  if (!number.has_value() || !std::isfinite(*number)) return fallback;
  return FloatToInt(*number);
}

absl::StatusOr<Value> Float(Runtime& runtime, const Value& input, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::Bind("float", {"default"}, 0, arguments));
  RETURN_IF_ERROR(CheckDefined(input));
  if (input.is_number()) return Value::Float(input.number());
  if (input.is_string()) {
    const std::optional<double> number = ParseFloat(input.text());
    if (number.has_value()) return Value::Float(*number);
  }
  return bound.Has(0) ? *bound[0] : Value::Float(0.0);
}

absl::StatusOr<Value> Round(Runtime& runtime, const Value& input, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::Bind("round", {"precision", "method"}, 0, arguments));
  ASSIGN_OR_RETURN(const int64_t precision, bound.GetInt(0, 0));
  ASSIGN_OR_RETURN(const std::string method, bound.GetString(1, "common"));
  if (method != "common" && method != "ceil" && method != "floor") {
    return absl::InvalidArgumentError("method must be common, ceil or floor");
  }
  RETURN_IF_ERROR(CheckDefined(input));
  if (!input.is_number()) {
    return absl::InvalidArgumentError(
        absl::StrCat("type ", TypeName(input), " doesn't define __round__ method"));
  }
  if (method == "common") {
    if (input.is_float()) return Value::Float(RoundFloat(input.number(), precision));
    return Value::Int(RoundInteger(input.integer(), precision));
  }
  const Value ten = Value::Int(10);
  ASSIGN_OR_RETURN(const Value power,
                   Calculate(runtime, BinaryOperator::kPow, ten, Value::Int(precision)));
  ASSIGN_OR_RETURN(const Value scaled, Calculate(runtime, BinaryOperator::kMul, input, power));
  const double number = scaled.number();
  ASSIGN_OR_RETURN(const Value whole,
                   scaled.is_float()
                       ? FloatToInt(method == "ceil" ? std::ceil(number) : std::floor(number))
                       : absl::StatusOr<Value>(scaled));
  return Calculate(runtime, BinaryOperator::kDiv, whole, power);
}

absl::StatusOr<std::optional<std::string>> IndentOf(const BoundArguments& bound, Runtime& runtime) {
  constexpr size_t kIndent = 1;
  if (!bound.HasValue(kIndent)) return std::nullopt;
  if (bound[kIndent]->is_string()) return bound[kIndent]->text();
  ASSIGN_OR_RETURN(const int64_t width, bound.GetInt(kIndent, 0));
  RETURN_IF_ERROR(runtime.ChargeText(static_cast<size_t>(std::max<int64_t>(width, 0))));
  return std::string(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ');
}

// json.dumps as transformers offers it, not Jinja's own filter for HTML pages.
absl::StatusOr<Value> ToJsonFilter(Runtime& runtime, const Value& input,
                                   const Arguments& arguments) {
  ASSIGN_OR_RETURN(
      const auto bound,
      BoundArguments::Bind("tojson", {"ensure_ascii", "indent", "separators", "sort_keys"}, 0,
                           arguments));
  JsonStyle style;
  style.ensure_ascii = bound.GetTruth(0, false);
  style.sort_keys = bound.GetTruth(3, false);
  ASSIGN_OR_RETURN(style.indent, IndentOf(bound, runtime));
  if (style.indent.has_value()) style.item_separator.assign(1, ',');
  if (bound.HasValue(2)) {
    ASSIGN_OR_RETURN(const std::vector<Value> separators, ToVector(runtime, *bound[2]));
    if (separators.size() != 2 || !separators[0].is_string() || !separators[1].is_string()) {
      return absl::InvalidArgumentError("tojson(): separators must be two strings");
    }
    style.item_separator = separators[0].text();
    style.key_separator = separators[1].text();
  }
  ASSIGN_OR_RETURN(std::string json, ToJson(runtime, input, style));
  return Value::String(std::move(json));
}

absl::StatusOr<Value> PrettyPrint(Runtime& runtime, const Value& input,
                                  const Arguments& arguments) {
  RETURN_IF_ERROR(ExpectNoArguments("pprint", arguments));
  constexpr size_t kLineWidth = 80;
  ASSIGN_OR_RETURN(std::string text, Repr(runtime, input, /*sort_keys=*/true));
  if (text.size() <= kLineWidth) return Value::String(std::move(text));
  return absl::UnimplementedError(absl::StrCat("the filter 'pprint' of a value of more than ",
                                               kLineWidth, " characters is not supported"));
}

}  // namespace

Filter FindScalarFilter(absl::string_view name) {
  static const auto* const kFilters = new absl::flat_hash_map<absl::string_view, Filter>({
      {"abs", Abs},
      {"d", Default},
      {"default", Default},
      {"float", Float},
      {"int", Int},
      {"pprint", PrettyPrint},
      {"round", Round},
      {"tojson", ToJsonFilter},
  });
  const auto found = kFilters->find(name);
  return found == kFilters->end() ? nullptr : found->second;
}

}  // namespace tandem::jinja
