// Runs a resolved template over its variables.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/tokenizer/jinja_ast.h"
#include "engine/tokenizer/jinja_object.h"
#include "engine/tokenizer/jinja_runtime.h"
#include "engine/tokenizer/jinja_value.h"

namespace tandem::jinja {

// The variables of a block while it runs. Macros keep the scope that they were defined in.
struct Scope : public Mutable {
  std::vector<std::optional<Value>> slots;  // nullopt: not assigned
  std::shared_ptr<Scope> parent;
  bool is_owned = false;  // by the Runtime, since something keeps it

  void Clear() override { slots.clear(); }
};

// One render. The template, the runtime and this object must outlive every value of the render.
class Interpreter {
 public:
  // `variables` by name; they hide global functions of the same name.
  Interpreter(const Template& root, const Dict& variables, Runtime& runtime);

  // The rendered text. Errors are INVALID_ARGUMENT or UNIMPLEMENTED; error_line() is where.
  absl::StatusOr<std::string> Render();

  // Line of the innermost expression or statement that failed, from 1.
  int error_line() const { return error_line_; }

  // Calls a macro that was defined in `scope`.
  absl::StatusOr<Value> CallMacro(const MacroDefinition& macro, const std::shared_ptr<Scope>& scope,
                                  const Arguments& arguments);

 private:
  enum class Flow { kNext, kBreak, kContinue };

  // --- Statements (jinja_interpreter.cc)
  absl::StatusOr<Flow> Execute(const Body& body);
  absl::StatusOr<Flow> Execute(const Text& node);
  absl::StatusOr<Flow> Execute(const Print& node);
  absl::StatusOr<Flow> Execute(const If& node);
  absl::StatusOr<Flow> Execute(const For& node);
  absl::StatusOr<Flow> Execute(const Set& node);
  absl::StatusOr<Flow> Execute(const SetBlock& node);
  absl::StatusOr<Flow> Execute(const Macro& node);
  absl::StatusOr<Flow> Execute(const CallBlock& node);
  absl::StatusOr<Flow> Execute(const FilterBlock& node);
  absl::StatusOr<Flow> Execute(const With& node);
  absl::StatusOr<Flow> Execute(const Break& node) { return Flow::kBreak; }
  absl::StatusOr<Flow> Execute(const Continue& node) { return Flow::kContinue; }

  absl::Status Write(absl::string_view text);
  absl::Status WriteValue(const Value& value);
  // Runs a body that does not write to the output but to `*text`.
  absl::StatusOr<Flow> Capture(const Body& body, std::string* text);
  // The text of a block after its filter, which may be null.
  absl::StatusOr<Value> FilterText(const ExpressionPtr& filter, std::string text);

  // --- Loops (jinja_for.cc)
  absl::StatusOr<Flow> RunLoop(const For& node, const Value& items, int depth, bool recursive);
  absl::StatusOr<Flow> RunIterations(const For& node, const Value& items, int depth, bool recursive,
                                     bool* completed_one);
  absl::StatusOr<Value> RecurseLoop(const For& node, const std::shared_ptr<Scope>& scope,
                                    const Value& items, int depth);
  // The items that pass the loop's test: a generator.
  absl::StatusOr<std::shared_ptr<Iterator>> TestedItems(const For& node, const Value& items);

  // --- Scopes and variables
  std::shared_ptr<Scope> MakeScope(const ScopeLayout& layout, std::shared_ptr<Scope> parent);
  void LoadSlots(const ScopeLayout& layout, Scope* scope);
  // Keeps `scope`, which a value is about to hold, out of cycles of ownership.
  void KeepScope(const std::shared_ptr<Scope>& scope);
  std::optional<Value>& Slot(const SlotRef& place);
  absl::Status Assign(const Target& target, const Value& value);

  // --- Macros (jinja_macro.cc)
  Value MakeMacro(const MacroDefinition& definition);
  absl::Status BindMacroArguments(const MacroDefinition& macro, const Arguments& arguments,
                                  Scope* scope);

  // --- Expressions (jinja_evaluator.cc)
  absl::StatusOr<Value> Evaluate(const Expression& expression);
  absl::StatusOr<Value> EvaluateNode(const Expression& expression);
  absl::StatusOr<Value> EvaluateIfAny(const ExpressionPtr& expression);
  absl::StatusOr<std::vector<Value>> EvaluateAll(const Expressions& expressions);
  absl::StatusOr<Value> Evaluate(const Literal& node) { return node.value; }
  absl::StatusOr<Value> Evaluate(const Name& node);
  absl::StatusOr<Value> Evaluate(const TupleDisplay& node);
  absl::StatusOr<Value> Evaluate(const ListDisplay& node);
  absl::StatusOr<Value> Evaluate(const DictDisplay& node);
  absl::StatusOr<Value> Evaluate(const Unary& node);
  absl::StatusOr<Value> Evaluate(const Binary& node);
  absl::StatusOr<Value> Evaluate(const Logical& node);
  absl::StatusOr<Value> Evaluate(const Comparison& node);
  absl::StatusOr<Value> Evaluate(const Concatenation& node);
  absl::StatusOr<Value> Evaluate(const Conditional& node);
  absl::StatusOr<Value> Evaluate(const AttributeAccess& node);
  absl::StatusOr<Value> Evaluate(const ItemAccess& node);
  absl::StatusOr<Value> Evaluate(const SliceAccess& node);
  absl::StatusOr<Value> Evaluate(const Call& node);
  absl::StatusOr<Value> Evaluate(const FilterCall& node);
  absl::StatusOr<Value> Evaluate(const TestCall& node);
  absl::StatusOr<Value> Evaluate(const BlockText& node) { return Value::String(*block_text_); }
  // `caller` is passed on by {% call %}.
  absl::StatusOr<Value> EvaluateCall(const Call& node, const Value* caller);
  absl::StatusOr<Arguments> EvaluateArguments(const CallArguments& arguments);

  // Remembers where the first error happened.
  void NoteError(int line) {
    if (error_line_ == 0) error_line_ = line;
  }

  const Template& root_;
  Runtime& runtime_;
  absl::flat_hash_map<std::string, Value> variables_;

  std::shared_ptr<Scope> scope_;             // of the code that runs
  std::string* output_ = nullptr;            // where it writes
  const std::string* block_text_ = nullptr;  // what the filter of a block begins with
  int error_line_ = 0;
};

}  // namespace tandem::jinja
