// Macros: their definition as a value, and their calls.
#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "engine/tokenizer/jinja_interpreter.h"

namespace tandem::jinja {
namespace {

class MacroObject : public Object {
 public:
  MacroObject(Interpreter* interpreter, const MacroDefinition* definition,
              std::shared_ptr<Scope> scope)
      : interpreter_(*interpreter), definition_(*definition), scope_(std::move(scope)) {}

  std::string type_name() const override { return "jinja2.runtime.Macro"; }
  std::string Repr() const override { return absl::StrCat("<Macro '", definition_.name, "'>"); }

  absl::StatusOr<std::optional<Value>> Attribute(const Value& self,
                                                 absl::string_view name) override {
    if (name == "name") return Value::String(definition_.name);
    if (name == "catch_kwargs") return Value::Bool(definition_.kwargs_slot >= 0);
    if (name == "catch_varargs") return Value::Bool(definition_.varargs_slot >= 0);
    if (name == "caller") return Value::Bool(definition_.caller_slot >= 0);
    if (name != "arguments") return std::nullopt;
    std::vector<Value> names;
    for (const auto& parameter : definition_.parameters) {
      names.push_back(Value::String(parameter.name));
    }
    return Value::Tuple(std::move(names));
  }

  bool callable() const override { return true; }
  absl::StatusOr<Value> Call(Runtime& runtime, const Arguments& arguments) override {
    return interpreter_.CallMacro(definition_, scope_, arguments);
  }

 private:
  Interpreter& interpreter_;
  const MacroDefinition& definition_;
  std::shared_ptr<Scope> scope_;
};

using Keywords = std::vector<std::pair<std::string, Value>>;

// Removes the argument `name` from `*keywords`; nullopt where it is not there.
std::optional<Value> Take(absl::string_view name, Keywords* keywords) {
  const auto found = std::find_if(keywords->begin(), keywords->end(),
                                  [name](const auto& entry) { return entry.first == name; });
  std::optional<Value> value;
  if (found != keywords->end()) {
    value = found->second;
    keywords->erase(found);
  }
  return value;
}

}  // namespace

Value Interpreter::MakeMacro(const MacroDefinition& definition) {
  KeepScope(scope_);
  return Value::FromObject(std::make_shared<MacroObject>(this, &definition, scope_));
}

absl::StatusOr<Value> Interpreter::CallMacro(const MacroDefinition& macro,
                                             const std::shared_ptr<Scope>& scope,
                                             const Arguments& arguments) {
  Runtime::Nesting nesting(runtime_);
  RETURN_IF_ERROR(nesting.Check());
  const std::shared_ptr<Scope> inner = MakeScope(macro.scope, scope);
  RETURN_IF_ERROR(BindMacroArguments(macro, arguments, inner.get()));
  const std::shared_ptr<Scope> outer = std::exchange(scope_, inner);
  std::string text;
  const auto run = [&]() -> absl::Status {
    for (const auto& parameter : macro.parameters) {
      std::optional<Value>& slot = inner->slots[static_cast<size_t>(parameter.slot)];
      if (slot.has_value()) continue;
      if (parameter.default_value == nullptr) {
        slot = Value::Undefined(absl::StrCat("parameter '", parameter.name, "' was not provided"));
      } else {
        ASSIGN_OR_RETURN(Value value, Evaluate(*parameter.default_value));
        slot = std::move(value);
      }
    }
    return Capture(macro.body, &text).status();
  };
  const absl::Status status = run();
  scope_ = outer;
  RETURN_IF_ERROR(status);
  return Value::String(std::move(text));
}

// As Macro.__call__ of jinja2.runtime distributes them.
absl::Status Interpreter::BindMacroArguments(const MacroDefinition& macro,
                                             const Arguments& arguments, Scope* scope) {
  const auto slot = [scope](int index) -> std::optional<Value>& {
    return scope->slots[static_cast<size_t>(index)];
  };
  Keywords keywords = arguments.keyword;
  const size_t num_positional = std::min(arguments.positional.size(), macro.parameters.size());
  for (size_t i = 0; i < macro.parameters.size(); ++i) {
    const auto& parameter = macro.parameters[i];
    if (i < num_positional) {
      slot(parameter.slot) = arguments.positional[i];
    } else {
      slot(parameter.slot) = Take(parameter.name, &keywords);
    }
  }
  if (macro.caller_slot >= 0) {
    std::optional<Value> caller = Take("caller", &keywords);
    const bool given = caller.has_value() && !caller->is_none();
    slot(macro.caller_slot) = given ? *caller : Value::Undefined("No caller defined");
  }
  if (macro.kwargs_slot >= 0) {
    Dict dict;
    for (auto& [name, value] : keywords) {
      RETURN_IF_ERROR(dict.Set(Value::String(name), std::move(value)));
    }
    slot(macro.kwargs_slot) = Value::Mapping(std::move(dict));
  } else if (!keywords.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "macro '", macro.name, "' takes no keyword argument '", keywords[0].first, "'"));
  }
  if (macro.varargs_slot >= 0) {
    slot(macro.varargs_slot) =
        Value::Tuple({arguments.positional.begin() + static_cast<std::ptrdiff_t>(num_positional),
                      arguments.positional.end()});
  } else if (arguments.positional.size() > macro.parameters.size()) {
    return absl::InvalidArgumentError(absl::StrCat("macro '", macro.name, "' takes not more than ",
                                                   macro.parameters.size(), " argument(s)"));
  }
  return absl::OkStatus();
}

}  // namespace tandem::jinja
