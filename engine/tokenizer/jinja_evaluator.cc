// The expressions of the interpreter.
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "engine/tokenizer/jinja_access.h"
#include "engine/tokenizer/jinja_filters.h"
#include "engine/tokenizer/jinja_interpreter.h"
#include "engine/tokenizer/jinja_operators.h"
#include "engine/tokenizer/jinja_predicates.h"
#include "engine/tokenizer/jinja_repr.h"

namespace tandem::jinja {

absl::StatusOr<Value> Interpreter::Evaluate(const Expression& expression) {
  absl::StatusOr<Value> value = EvaluateNode(expression);
  if (!value.ok()) NoteError(expression.line);
  return value;
}

absl::StatusOr<Value> Interpreter::EvaluateNode(const Expression& expression) {
  Runtime::Nesting nesting(runtime_);
  RETURN_IF_ERROR(nesting.Check());
  RETURN_IF_ERROR(runtime_.Charge(1));
  absl::StatusOr<Value> value =
      std::visit([this](const auto& node) { return Evaluate(node); }, expression.node);
  if (value.ok() && value->depth() > kMaxValueDepth) {
    return absl::InvalidArgumentError(
        absl::StrCat("a value nests deeper than ", kMaxValueDepth, " levels"));
  }
  return value;
}

absl::StatusOr<Value> Interpreter::EvaluateIfAny(const ExpressionPtr& expression) {
  return expression == nullptr ? Value() : Evaluate(*expression);
}

absl::StatusOr<std::vector<Value>> Interpreter::EvaluateAll(const Expressions& expressions) {
  std::vector<Value> values;
  values.reserve(expressions.size());
  for (const ExpressionPtr& expression : expressions) {
    ASSIGN_OR_RETURN(Value value, Evaluate(*expression));
    values.push_back(std::move(value));
  }
  return values;
}

absl::StatusOr<Value> Interpreter::Evaluate(const Name& node) {
  const std::optional<Value>& slot = Slot(node.place);
  if (slot.has_value()) return *slot;
  return Value::Undefined(absl::StrCat("'", node.name, "' is undefined"));
}

absl::StatusOr<Value> Interpreter::Evaluate(const TupleDisplay& node) {
  ASSIGN_OR_RETURN(std::vector<Value> items, EvaluateAll(node.items));
  return Value::Tuple(std::move(items));
}

absl::StatusOr<Value> Interpreter::Evaluate(const ListDisplay& node) {
  ASSIGN_OR_RETURN(std::vector<Value> items, EvaluateAll(node.items));
  return Value::List(std::move(items));
}

absl::StatusOr<Value> Interpreter::Evaluate(const DictDisplay& node) {
  Dict dict;
  for (const auto& [key_expression, value_expression] : node.entries) {
    ASSIGN_OR_RETURN(Value key, Evaluate(*key_expression));
    ASSIGN_OR_RETURN(Value value, Evaluate(*value_expression));
    RETURN_IF_ERROR(dict.Set(std::move(key), std::move(value)));
  }
  return Value::Mapping(std::move(dict));
}

absl::StatusOr<Value> Interpreter::Evaluate(const Unary& node) {
  ASSIGN_OR_RETURN(const Value operand, Evaluate(*node.operand));
  switch (node.op) {
    case UnaryOperator::kNot:
      return Value::Bool(!IsTrue(operand));
    case UnaryOperator::kNegate:
      return Negate(operand);
    case UnaryOperator::kPlus:
      return Plus(operand);
  }
  return operand;
}

absl::StatusOr<Value> Interpreter::Evaluate(const Binary& node) {
  ASSIGN_OR_RETURN(const Value left, Evaluate(*node.left));
  ASSIGN_OR_RETURN(const Value right, Evaluate(*node.right));
  return Calculate(runtime_, node.op, left, right);
}

absl::StatusOr<Value> Interpreter::Evaluate(const Logical& node) {
  ASSIGN_OR_RETURN(Value left, Evaluate(*node.left));
  return IsTrue(left) == node.is_and ? Evaluate(*node.right) : std::move(left);
}

absl::StatusOr<Value> Interpreter::Evaluate(const Comparison& node) {
  ASSIGN_OR_RETURN(Value left, Evaluate(*node.first));
  for (const auto& [op, expression] : node.rest) {
    ASSIGN_OR_RETURN(Value right, Evaluate(*expression));
    ASSIGN_OR_RETURN(const bool result, Compare(runtime_, op, left, right));
    if (!result) return Value::Bool(false);
    left = std::move(right);
  }
  return Value::Bool(true);
}

absl::StatusOr<Value> Interpreter::Evaluate(const Concatenation& node) {
  std::string joined;
  for (const ExpressionPtr& expression : node.parts) {
    ASSIGN_OR_RETURN(const Value part, Evaluate(*expression));
    ASSIGN_OR_RETURN(const std::string text, ToText(runtime_, part));
    RETURN_IF_ERROR(runtime_.CheckText(joined.size() + text.size()));
    joined += text;
  }
  RETURN_IF_ERROR(runtime_.ChargeText(joined.size()));
  return Value::String(std::move(joined));
}

absl::StatusOr<Value> Interpreter::Evaluate(const Conditional& node) {
  ASSIGN_OR_RETURN(const Value test, Evaluate(*node.test));
  if (IsTrue(test)) return Evaluate(*node.value);
  if (node.otherwise != nullptr) return Evaluate(*node.otherwise);
  return Value::Undefined(
      "the inline if-expression evaluated to false and no else section was defined.");
}

absl::StatusOr<Value> Interpreter::Evaluate(const AttributeAccess& node) {
  ASSIGN_OR_RETURN(const Value object, Evaluate(*node.object));
  return GetAttribute(object, node.name);
}

absl::StatusOr<Value> Interpreter::Evaluate(const ItemAccess& node) {
  ASSIGN_OR_RETURN(const Value object, Evaluate(*node.object));
  ASSIGN_OR_RETURN(const Value key, Evaluate(*node.key));
  return GetItem(object, key);
}

absl::StatusOr<Value> Interpreter::Evaluate(const SliceAccess& node) {
  ASSIGN_OR_RETURN(const Value object, Evaluate(*node.object));
  ASSIGN_OR_RETURN(const Value start, EvaluateIfAny(node.start));
  ASSIGN_OR_RETURN(const Value stop, EvaluateIfAny(node.stop));
  ASSIGN_OR_RETURN(const Value step, EvaluateIfAny(node.step));
  return GetSlice(runtime_, object, start, stop, step);
}

absl::StatusOr<Value> Interpreter::Evaluate(const Call& node) {
  return EvaluateCall(node, /*caller=*/nullptr);
}

absl::StatusOr<Value> Interpreter::Evaluate(const FilterCall& node) {
  ASSIGN_OR_RETURN(const Value input, Evaluate(*node.input));
  ASSIGN_OR_RETURN(const Arguments arguments, EvaluateArguments(node.arguments));
  return CallFilter(runtime_, node.name, input, arguments);
}

absl::StatusOr<Value> Interpreter::Evaluate(const TestCall& node) {
  ASSIGN_OR_RETURN(const Value input, Evaluate(*node.input));
  ASSIGN_OR_RETURN(const Arguments arguments, EvaluateArguments(node.arguments));
  ASSIGN_OR_RETURN(const bool result, CallTest(runtime_, node.name, input, arguments));
  return Value::Bool(result);
}

absl::StatusOr<Value> Interpreter::EvaluateCall(const Call& node, const Value* caller) {
  ASSIGN_OR_RETURN(const Value callee, Evaluate(*node.callee));
  ASSIGN_OR_RETURN(Arguments arguments, EvaluateArguments(node.arguments));
  if (caller != nullptr) arguments.keyword.emplace_back("caller", *caller);
  RETURN_IF_ERROR(CheckDefined(callee));
  if (!callee.is_object()) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", TypeName(callee), "' object is not callable"));
  }
  // The callee may be replaced while it runs: this reference keeps it.
  // NOLINTNEXTLINE(performance-unnecessary-copy-initialization)
  const std::shared_ptr<Object> object = callee.object();
  return object->Call(runtime_, arguments);
}

absl::StatusOr<Arguments> Interpreter::EvaluateArguments(const CallArguments& node) {
  Arguments arguments;
  ASSIGN_OR_RETURN(arguments.positional, EvaluateAll(node.positional));
  for (const auto& [name, expression] : node.keyword) {
    ASSIGN_OR_RETURN(Value value, Evaluate(*expression));
    arguments.keyword.emplace_back(name, std::move(value));
  }
  if (node.more_positional != nullptr) {
    ASSIGN_OR_RETURN(const Value more, Evaluate(*node.more_positional));
    ASSIGN_OR_RETURN(const std::vector<Value> items, ToVector(runtime_, more));
    arguments.positional.insert(arguments.positional.end(), items.begin(), items.end());
  }
  if (node.more_keyword == nullptr) return arguments;
  ASSIGN_OR_RETURN(const Value more, Evaluate(*node.more_keyword));
  RETURN_IF_ERROR(CheckDefined(more));
  if (!more.is_dict()) {
    return absl::InvalidArgumentError("argument after ** must be a mapping");
  }
  for (const auto& [name, value] : more.dict().entries()) {
    if (!name.is_string()) return absl::InvalidArgumentError("keywords must be strings");
    for (const auto& [other, unused] : node.keyword) {
      if (other == name.text()) {
        return absl::InvalidArgumentError(
            absl::StrCat("got multiple values for keyword argument '", other, "'"));
      }
    }
    arguments.keyword.emplace_back(name.text(), value);
  }
  return arguments;
}

}  // namespace tandem::jinja
