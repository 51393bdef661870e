#include "engine/tokenizer/jinja_printf.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "engine/tokenizer/jinja_format_spec.h"
#include "engine/tokenizer/jinja_operators.h"
#include "engine/tokenizer/jinja_repr.h"

namespace tandem::jinja {
namespace {

class PercentFormatter {
 public:
  PercentFormatter(Runtime& runtime, const Value& format, const Value& values)
      : runtime_(runtime), values_(values), escape_(format.is_markup()), rest_(format.text()) {}

  absl::StatusOr<std::string> Format() {
    std::string out;
    while (!rest_.empty()) {
      const size_t percent = std::min(rest_.find('%'), rest_.size());
      absl::StrAppend(&out, rest_.substr(0, percent));
      rest_.remove_prefix(percent);
      if (rest_.empty()) break;
      rest_.remove_prefix(1);
      ASSIGN_OR_RETURN(const std::string text, FormatDirective());
      out += text;
      RETURN_IF_ERROR(runtime_.CheckText(out.size()));
    }
    const bool mapping = values_.is_dict() || values_.is_list();
    if (!mapping && num_used_ < NumValues()) {
      return absl::InvalidArgumentError("not all arguments converted during string formatting");
    }
    RETURN_IF_ERROR(runtime_.ChargeText(out.size()));
    return out;
  }

 private:
  size_t NumValues() const { return values_.is_tuple() ? values_.items().size() : 1; }

  absl::StatusOr<Value> NextValue() {
    if (num_used_ >= NumValues()) {
      return absl::InvalidArgumentError("not enough arguments for format string");
    }
    const size_t index = num_used_++;
    return values_.is_tuple() ? values_.items()[index] : values_;
  }

  char Peek() const { return rest_.empty() ? '\0' : rest_[0]; }

  // Consumes the next character where it is one of `characters`.
  bool Take(absl::string_view characters) {
    if (rest_.empty() || characters.find(rest_[0]) == absl::string_view::npos) return false;
    rest_.remove_prefix(1);
    return true;
  }

  // A number or a '*', which takes the number from the values.
  absl::StatusOr<int64_t> TakeNumber() {
    constexpr int64_t kMaxNumber = 500;
    int64_t number = 0;
    if (Take("*")) {
      ASSIGN_OR_RETURN(const Value value, NextValue());
      if (!value.is_integral()) return absl::InvalidArgumentError("* wants int");
      number = static_cast<int64_t>(
          std::clamp<Integer>(value.integer(), -kMaxNumber - 1, kMaxNumber + 1));
    } else {
      while (Peek() >= '0' && Peek() <= '9' && number <= kMaxNumber) {
        number = number * 10 + (Peek() - '0');
        rest_.remove_prefix(1);
      }
    }
    if (std::abs(number) > kMaxNumber) {
      return absl::InvalidArgumentError(
          absl::StrCat("a width or precision of a format is above ", kMaxNumber));
    }
    return number;
  }

  absl::StatusOr<std::string> FormatDirective() {
    RETURN_IF_ERROR(runtime_.Charge(1));
    if (Take("%")) return std::string("%");
    std::optional<Value> named;
    if (Peek() == '(') {
      ASSIGN_OR_RETURN(named, TakeNamedValue());
    }
    FormatSpec spec;
    bool left = false;
    bool zero = false;
    for (char flag = Peek(); Take("-+ #0"); flag = Peek()) {
      left = left || flag == '-';
      zero = zero || flag == '0';
      spec.alternate = spec.alternate || flag == '#';
      if (flag == '+' || (flag == ' ' && spec.sign == '-')) spec.sign = flag;
    }
    ASSIGN_OR_RETURN(spec.width, TakeNumber());
    if (spec.width < 0) {
      left = true;
      spec.width = -spec.width;
    }
    if (Take(".")) {
      ASSIGN_OR_RETURN(spec.precision, TakeNumber());
    }
    Take("hlL");
    spec.type = Peek();
    if (spec.type == '\0') return absl::InvalidArgumentError("incomplete format");
    rest_.remove_prefix(1);
    if (spec.type == '%') return std::string("%");
    spec.align = left ? '<' : '>';
    if (zero && !left) {
      spec.align = '=';
      spec.fill = "0";
    }
    Value value;
    if (named.has_value()) {
      value = *std::move(named);
    } else {
      ASSIGN_OR_RETURN(value, NextValue());
    }
    return FormatOne(value, std::move(spec));
  }

  absl::StatusOr<Value> TakeNamedValue() {
    if (!values_.is_dict()) return absl::InvalidArgumentError("format requires a mapping");
    size_t end = 0;
    for (int open = 0; end < rest_.size(); ++end) {
      if (rest_[end] == '(') ++open;
      if (rest_[end] == ')' && --open == 0) break;
    }
    if (end == rest_.size()) return absl::InvalidArgumentError("incomplete format key");
    const absl::string_view key = rest_.substr(1, end - 1);
    const Value* value = values_.dict().Find(key);
    if (value == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat("the mapping has no key '", key, "'"));
    }
    rest_.remove_prefix(end + 1);
    return *value;
  }

  absl::StatusOr<std::string> FormatOne(const Value& value, FormatSpec spec) {
    switch (spec.type) {
      case 's':
      case 'r':
      case 'a':
        return FormatText(value, std::move(spec));
      case 'c':
        if (value.is_string()) return FormatText(value, std::move(spec));
        break;
      case 'd':
      case 'i':
      case 'u':
      case 'x':
      case 'X':
      case 'o':
        return FormatInteger(value, std::move(spec));
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G':
        RETURN_IF_ERROR(CheckDefined(value));
        if (!value.is_number()) {
          return absl::InvalidArgumentError(
              absl::StrCat("must be real number, not ", TypeName(value)));
        }
        return FormatValue(runtime_, Value::Float(value.number()), spec);
      default:
        return absl::InvalidArgumentError(
            absl::StrCat("unsupported format character '", std::string(1, spec.type), "'"));
    }
    return FormatValue(runtime_, value, spec);
  }

  absl::StatusOr<std::string> FormatText(const Value& value, FormatSpec spec) {
    ASSIGN_OR_RETURN(std::string text, spec.type == 'r' || spec.type == 'a'
                                           ? Repr(runtime_, value)
                                           : ToText(runtime_, value));
    if (escape_ && !value.is_markup()) text = EscapeHtml(text);
    if (spec.align == '=') {
      spec.align = '>';
      spec.fill = " ";
    }
    spec.type = 's';
    spec.sign = '-';
    return FormatValue(runtime_, Value::String(std::move(text)), spec);
  }

  absl::StatusOr<std::string> FormatInteger(const Value& value, FormatSpec spec) {
    RETURN_IF_ERROR(CheckDefined(value));
    const bool decimal = spec.type == 'd' || spec.type == 'i' || spec.type == 'u';
    if (!value.is_integral() && !(decimal && value.is_float() && std::abs(value.number()) < 1e37)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "%", std::string(1, spec.type), " format: a number is required, not ", TypeName(value)));
    }
    if (decimal) spec.type = 'd';
    const Integer number =
        value.is_float() ? static_cast<Integer>(value.number()) : value.integer();
    if (!spec.precision.has_value()) return FormatValue(runtime_, Value::Int(number), spec);
    // A precision is the least number of digits.
    FormatSpec digits{.fill = "0", .align = '=', .sign = spec.sign, .alternate = spec.alternate};
    digits.type = spec.type;
    digits.width = *spec.precision + (number < 0 || spec.sign != '-' ? 1 : 0) +
                   (spec.alternate && !decimal ? 2 : 0);
    ASSIGN_OR_RETURN(std::string text, FormatValue(runtime_, Value::Int(number), digits));
    FormatSpec padding{.align = spec.align == '=' ? '>' : spec.align, .width = spec.width};
    return FormatValue(runtime_, Value::String(std::move(text)), padding);
  }

  Runtime& runtime_;
  const Value& values_;
  const bool escape_;
  absl::string_view rest_;
  size_t num_used_ = 0;
};

}  // namespace

absl::StatusOr<Value> FormatPercent(Runtime& runtime, const Value& format, const Value& values) {
  ASSIGN_OR_RETURN(std::string text, PercentFormatter(runtime, format, values).Format());
  return format.is_markup() ? Value::Markup(std::move(text)) : Value::String(std::move(text));
}

}  // namespace tandem::jinja
