#include "engine/tokenizer/jinja_interpreter.h"

#include <utility>
#include <variant>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "engine/tokenizer/jinja_access.h"
#include "engine/tokenizer/jinja_functions.h"
#include "engine/tokenizer/jinja_operators.h"
#include "engine/tokenizer/jinja_repr.h"

namespace tandem::jinja {

Interpreter::Interpreter(const Template& root, const Dict& variables, Runtime& runtime)
    : root_(root), runtime_(runtime), variables_(GlobalFunctions()) {
  for (const auto& [name, value] : variables.entries()) {
    if (name.is_string()) variables_[name.text()] = value;
  }
}

absl::StatusOr<std::string> Interpreter::Render() {
  scope_ = MakeScope(root_.scope, nullptr);
  std::string text;
  RETURN_IF_ERROR(Capture(root_.body, &text).status());
  return text;
}

absl::StatusOr<Interpreter::Flow> Interpreter::Execute(const Body& body) {
  Runtime::Nesting nesting(runtime_);
  RETURN_IF_ERROR(nesting.Check());
  for (const auto& statement : body) {
    absl::StatusOr<Flow> flow =
        std::visit([this](const auto& node) { return Execute(node); }, statement->node);
    if (!flow.ok()) NoteError(statement->line);
    if (!flow.ok() || *flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

absl::Status Interpreter::Write(absl::string_view text) {
  RETURN_IF_ERROR(runtime_.ChargeText(text.size()));
  RETURN_IF_ERROR(runtime_.CheckText(output_->size() + text.size()));
  output_->append(text.data(), text.size());
  return absl::OkStatus();
}

absl::Status Interpreter::WriteValue(const Value& value) {
  if (value.is_string()) return Write(value.text());
  ASSIGN_OR_RETURN(const std::string text, ToText(runtime_, value));
  return Write(text);
}

absl::StatusOr<Interpreter::Flow> Interpreter::Capture(const Body& body, std::string* text) {
  std::string* const outer = std::exchange(output_, text);
  absl::StatusOr<Flow> flow = Execute(body);
  output_ = outer;
  return flow;
}

absl::StatusOr<Interpreter::Flow> Interpreter::Execute(const Text& node) {
  RETURN_IF_ERROR(Write(node.text));
  return Flow::kNext;
}

absl::StatusOr<Interpreter::Flow> Interpreter::Execute(const Print& node) {
  ASSIGN_OR_RETURN(const Value value, Evaluate(*node.value));
  RETURN_IF_ERROR(WriteValue(value));
  return Flow::kNext;
}

absl::StatusOr<Interpreter::Flow> Interpreter::Execute(const If& node) {
  for (const If::Branch& branch : node.branches) {
    ASSIGN_OR_RETURN(const Value test, Evaluate(*branch.test));
    if (IsTrue(test)) return Execute(branch.body);
  }
  return Execute(node.otherwise);
}

absl::StatusOr<Interpreter::Flow> Interpreter::Execute(const Set& node) {
  ASSIGN_OR_RETURN(const Value value, Evaluate(*node.value));
  RETURN_IF_ERROR(Assign(node.target, value));
  return Flow::kNext;
}

absl::StatusOr<Value> Interpreter::FilterText(const ExpressionPtr& filter, std::string text) {
  if (filter == nullptr) return Value::String(std::move(text));
  const std::string* const outer = std::exchange(block_text_, &text);
  absl::StatusOr<Value> value = Evaluate(*filter);
  block_text_ = outer;
  return value;
}

absl::StatusOr<Interpreter::Flow> Interpreter::Execute(const SetBlock& node) {
  const std::shared_ptr<Scope> outer = scope_;
  absl::Cleanup leave = [this, &outer] { scope_ = outer; };
  scope_ = MakeScope(node.scope, outer);
  std::string text;
  ASSIGN_OR_RETURN(const Flow flow, Capture(node.body, &text));
  if (flow != Flow::kNext) return flow;
  ASSIGN_OR_RETURN(const Value value, FilterText(node.filter, std::move(text)));
  scope_ = outer;
  RETURN_IF_ERROR(Assign(node.target, value));
  return Flow::kNext;
}

absl::StatusOr<Interpreter::Flow> Interpreter::Execute(const FilterBlock& node) {
  const std::shared_ptr<Scope> outer = scope_;
  absl::Cleanup leave = [this, &outer] { scope_ = outer; };
  scope_ = MakeScope(node.scope, outer);
  std::string text;
  ASSIGN_OR_RETURN(const Flow flow, Capture(node.body, &text));
  if (flow != Flow::kNext) return flow;
  ASSIGN_OR_RETURN(const Value value, FilterText(node.filter, std::move(text)));
  RETURN_IF_ERROR(WriteValue(value));
  return Flow::kNext;
}

absl::StatusOr<Interpreter::Flow> Interpreter::Execute(const Macro& node) {
  Slot(node.place) = MakeMacro(node.definition);
  return Flow::kNext;
}

absl::StatusOr<Interpreter::Flow> Interpreter::Execute(const CallBlock& node) {
  const Value caller = MakeMacro(node.definition);
  absl::StatusOr<Value> value = node.call == nullptr
                                    ? caller.object()->Call(runtime_, Arguments())
                                    : EvaluateCall(std::get<Call>(node.call->node), &caller);
  RETURN_IF_ERROR(value.status());
  RETURN_IF_ERROR(WriteValue(*value));
  return Flow::kNext;
}

absl::StatusOr<Interpreter::Flow> Interpreter::Execute(const With& node) {
  std::vector<Value> values;
  for (const auto& [target, expression] : node.variables) {
    ASSIGN_OR_RETURN(Value value, Evaluate(*expression));
    values.push_back(std::move(value));
  }
  const std::shared_ptr<Scope> outer = scope_;
  absl::Cleanup leave = [this, &outer] { scope_ = outer; };
  scope_ = MakeScope(node.scope, outer);
  for (size_t i = 0; i < values.size(); ++i) {
    RETURN_IF_ERROR(Assign(node.variables[i].first, values[i]));
  }
  return Execute(node.body);
}

std::shared_ptr<Scope> Interpreter::MakeScope(const ScopeLayout& layout,
                                              std::shared_ptr<Scope> parent) {
  auto scope = std::make_shared<Scope>();
  scope->slots.resize(static_cast<size_t>(layout.num_slots));
  scope->parent = std::move(parent);
  LoadSlots(layout, scope.get());
  return scope;
}

void Interpreter::LoadSlots(const ScopeLayout& layout, Scope* scope) {
  for (const SlotLoad& load : layout.loads) {
    std::optional<Value>& slot = scope->slots[static_cast<size_t>(load.slot)];
    if (load.source == SlotLoad::Source::kVariable) {
      const auto found = variables_.find(load.name);
      slot = found == variables_.end() ? std::nullopt : std::optional<Value>(found->second);
      continue;
    }
    const Scope* outer = scope;
    for (int depth = 0; depth < load.outer.depth; ++depth) outer = outer->parent.get();
    slot = outer->slots[static_cast<size_t>(load.outer.slot)];
  }
}

void Interpreter::KeepScope(const std::shared_ptr<Scope>& scope) {
  if (std::exchange(scope->is_owned, true)) return;
  runtime_.Own(scope);
}

std::optional<Value>& Interpreter::Slot(const SlotRef& place) {
  Scope* scope = scope_.get();
  for (int depth = 0; depth < place.depth; ++depth) scope = scope->parent.get();
  return scope->slots[static_cast<size_t>(place.slot)];
}

absl::Status Interpreter::Assign(const Target& target, const Value& value) {
  if (target.is_tuple) {
    ASSIGN_OR_RETURN(const std::vector<Value> items, ToVector(runtime_, value));
    if (items.size() != target.parts.size()) {
      return absl::InvalidArgumentError(absl::StrCat(
          items.size() < target.parts.size() ? "not enough" : "too many",
          " values to unpack (expected ", target.parts.size(), ", got ", items.size(), ")"));
    }
    for (size_t i = 0; i < items.size(); ++i) {
      RETURN_IF_ERROR(Assign(target.parts[i], items[i]));
    }
    return absl::OkStatus();
  }
  std::optional<Value>& slot = Slot(target.place);
  if (!target.attribute.has_value()) {
    slot = value;
    return absl::OkStatus();
  }
  Namespace* const attributes = slot.has_value() ? ObjectCast<Namespace>(*slot) : nullptr;
  if (attributes == nullptr) {
    return absl::InvalidArgumentError("cannot assign attribute on non-namespace object");
  }
  return attributes->SetAttribute(*target.attribute, value);
}

}  // namespace tandem::jinja
