// The loops of the interpreter.
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "engine/core/status_macros.h"
#include "engine/tokenizer/jinja_access.h"
#include "engine/tokenizer/jinja_interpreter.h"
#include "engine/tokenizer/jinja_loop.h"
#include "engine/tokenizer/jinja_operators.h"

namespace tandem::jinja {

absl::StatusOr<Interpreter::Flow> Interpreter::Execute(const For& node) {
  ASSIGN_OR_RETURN(const Value items, Evaluate(*node.iterable));
  if (!node.recursive) return RunLoop(node, items, /*depth=*/0, /*recursive=*/false);
  KeepScope(scope_);
  ASSIGN_OR_RETURN(const Value text, RecurseLoop(node, scope_, items, /*depth=*/0));
  RETURN_IF_ERROR(WriteValue(text));
  return Flow::kNext;
}

// The text of the loop over `items`, as if it stood in `scope`.
absl::StatusOr<Value> Interpreter::RecurseLoop(const For& node, const std::shared_ptr<Scope>& scope,
                                               const Value& items, int depth) {
  std::string text;
  const std::shared_ptr<Scope> outer_scope = std::exchange(scope_, scope);
  std::string* const outer_output = std::exchange(output_, &text);
  const absl::StatusOr<Flow> flow = RunLoop(node, items, depth, /*recursive=*/true);
  scope_ = outer_scope;
  output_ = outer_output;
  RETURN_IF_ERROR(flow.status());
  return Value::String(std::move(text));
}

absl::StatusOr<Interpreter::Flow> Interpreter::RunLoop(const For& node, const Value& items,
                                                       int depth, bool recursive) {
  const std::shared_ptr<Scope> outer = scope_;
  absl::Cleanup leave = [this, &outer] { scope_ = outer; };
  bool completed_one = false;
  RETURN_IF_ERROR(RunIterations(node, items, depth, recursive, &completed_one).status());
  if (completed_one || node.otherwise.empty()) return Flow::kNext;
  scope_ = MakeScope(node.else_scope, outer);
  return Execute(node.otherwise);
}

// `*completed_one` becomes true when a body runs to its end: in Jinja, a first iteration that ends
// with `break` or `continue` leaves the `else` part due.
absl::StatusOr<Interpreter::Flow> Interpreter::RunIterations(const For& node, const Value& items,
                                                             int depth, bool recursive,
                                                             bool* completed_one) {
  const std::shared_ptr<Scope> outer = scope_;
  std::shared_ptr<Iterator> iterator;
  std::optional<int64_t> length;
  if (node.test != nullptr) {
    ASSIGN_OR_RETURN(iterator, TestedItems(node, items));
  } else {
    ASSIGN_OR_RETURN(iterator, Iterate(items));
    ASSIGN_OR_RETURN(length, GetLength(items));
  }
  Loop::Recursion recursion;
  if (recursive) {
    recursion = [this, &node, outer](const Value& inner, int inner_depth) {
      return RecurseLoop(node, outer, inner, inner_depth);
    };
  }
  const auto loop =
      std::make_shared<Loop>(runtime_, std::move(iterator), length, depth, std::move(recursion));
  scope_ = std::make_shared<Scope>();
  scope_->parent = outer;
  const std::shared_ptr<Scope> scope = scope_;
  // What a value may keep of the loop is not to keep its items.
  absl::Cleanup finish = [&] {
    loop->Clear();
    scope->slots.assign(static_cast<size_t>(node.body_scope.num_slots), std::nullopt);
  };
  while (true) {
    ASSIGN_OR_RETURN(const std::optional<Value> item, loop->Next());
    if (!item.has_value()) return Flow::kNext;
    RETURN_IF_ERROR(runtime_.Charge(1));
    scope->slots.assign(static_cast<size_t>(node.body_scope.num_slots), std::nullopt);
    scope->slots[static_cast<size_t>(node.loop_slot)] = Value::FromObject(loop);
    LoadSlots(node.body_scope, scope.get());
    RETURN_IF_ERROR(Assign(node.target, *item));
    ASSIGN_OR_RETURN(const Flow flow, Execute(node.body));
    if (flow == Flow::kBreak) return Flow::kNext;
    if (flow == Flow::kNext) *completed_one = true;
  }
}

absl::StatusOr<std::shared_ptr<Iterator>> Interpreter::TestedItems(const For& node,
                                                                   const Value& items) {
  ASSIGN_OR_RETURN(std::shared_ptr<Iterator> iterator, Iterate(items));
  const Value generator = MakeGenerator(
      [this, &node, iterator = std::move(iterator),
       scope = MakeScope(node.test_scope, scope_)]() -> absl::StatusOr<std::optional<Value>> {
        while (true) {
          ASSIGN_OR_RETURN(std::optional<Value> item, iterator->Next());
          if (!item.has_value()) return std::nullopt;
          const std::shared_ptr<Scope> outer = std::exchange(scope_, scope);
          absl::Cleanup leave = [this, &outer] { scope_ = outer; };
          RETURN_IF_ERROR(Assign(node.test_target, *item));
          ASSIGN_OR_RETURN(const Value test, Evaluate(*node.test));
          if (IsTrue(test)) return item;
        }
      },
      items.depth());
  return generator.object()->Iterate();
}

}  // namespace tandem::jinja
