#include "engine/tokenizer/jinja_ast.h"

namespace tandem::jinja {
namespace {

using Visit = std::function<void(Expression&)>;

void VisitIfAny(const ExpressionPtr& child, const Visit& visit) {
  if (child != nullptr) visit(*child);
}

void VisitAll(const Expressions& children, const Visit& visit) {
  for (const ExpressionPtr& child : children) visit(*child);
}

void VisitArguments(const CallArguments& arguments, const Visit& visit) {
  VisitAll(arguments.positional, visit);
  for (const auto& [name, value] : arguments.keyword) visit(*value);
  VisitIfAny(arguments.more_positional, visit);
  VisitIfAny(arguments.more_keyword, visit);
}

// One overload per node.
struct ChildVisitor {
  const Visit& visit;

  void operator()(const Literal&) const {}
  void operator()(const Name&) const {}
  void operator()(const BlockText&) const {}
  void operator()(const TupleDisplay& node) const { VisitAll(node.items, visit); }
  void operator()(const ListDisplay& node) const { VisitAll(node.items, visit); }
  void operator()(const DictDisplay& node) const {
    for (const auto& [key, value] : node.entries) {
      visit(*key);
      visit(*value);
    }
  }
  void operator()(const Unary& node) const { visit(*node.operand); }
  void operator()(const Binary& node) const {
    visit(*node.left);
    visit(*node.right);
  }
  void operator()(const Logical& node) const {
    visit(*node.left);
    visit(*node.right);
  }
  void operator()(const Comparison& node) const {
    visit(*node.first);
    for (const auto& [op, operand] : node.rest) visit(*operand);
  }
  void operator()(const Concatenation& node) const { VisitAll(node.parts, visit); }
  void operator()(const Conditional& node) const {
    visit(*node.test);
    visit(*node.value);
    VisitIfAny(node.otherwise, visit);
  }
  void operator()(const AttributeAccess& node) const { visit(*node.object); }
  void operator()(const ItemAccess& node) const {
    visit(*node.object);
    visit(*node.key);
  }
  void operator()(const SliceAccess& node) const {
    visit(*node.object);
    VisitIfAny(node.start, visit);
    VisitIfAny(node.stop, visit);
    VisitIfAny(node.step, visit);
  }
  void operator()(const Call& node) const {
    visit(*node.callee);
    VisitArguments(node.arguments, visit);
  }
  void operator()(const FilterCall& node) const {
    visit(*node.input);
    VisitArguments(node.arguments, visit);
  }
  void operator()(const TestCall& node) const {
    visit(*node.input);
    VisitArguments(node.arguments, visit);
  }
};

}  // namespace

void ForEachChild(Expression& expression, const Visit& visit) {
  std::visit(ChildVisitor{visit}, expression.node);
}

}  // namespace tandem::jinja
