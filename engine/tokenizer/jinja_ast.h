// The syntax tree of a template. Plain data, immutable once parsed and resolved (jinja_resolver.h),
// so that many renders can walk it at once.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "engine/tokenizer/jinja_operators.h"
#include "engine/tokenizer/jinja_value.h"

namespace tandem::jinja {

struct Expression;
using ExpressionPtr = std::unique_ptr<Expression>;
using Expressions = std::vector<ExpressionPtr>;

// A variable's place: `depth` scopes outwards, position `slot` there. Filled in by the resolver.
struct SlotRef {
  int depth = 0;
  int slot = -1;
};

struct CallArguments {
  Expressions positional;
  std::vector<std::pair<std::string, ExpressionPtr>> keyword;
  ExpressionPtr more_positional;  // *args, or null
  ExpressionPtr more_keyword;     // **kwargs, or null
};

struct Literal {
  Value value;
};
struct Name {
  std::string name;
  SlotRef place;
};
struct TupleDisplay {
  Expressions items;
};
struct ListDisplay {
  Expressions items;
};
struct DictDisplay {
  std::vector<std::pair<ExpressionPtr, ExpressionPtr>> entries;
};
enum class UnaryOperator { kNot, kNegate, kPlus };
struct Unary {
  UnaryOperator op;
  ExpressionPtr operand;
};
struct Binary {
  BinaryOperator op;
  ExpressionPtr left;
  ExpressionPtr right;
};
// `and`, `or`: the value of one of the two.
struct Logical {
  bool is_and;
  ExpressionPtr left;
  ExpressionPtr right;
};
// a < b <= c: every pair is compared, each operand evaluated once.
struct Comparison {
  ExpressionPtr first;
  std::vector<std::pair<CompareOperator, ExpressionPtr>> rest;
};
// a ~ b ~ c
struct Concatenation {
  Expressions parts;
};
// value if test else otherwise
struct Conditional {
  ExpressionPtr test;
  ExpressionPtr value;
  ExpressionPtr otherwise;  // null: Undefined
};
struct AttributeAccess {
  ExpressionPtr object;
  std::string name;
};
struct ItemAccess {
  ExpressionPtr object;
  ExpressionPtr key;
};
struct SliceAccess {
  ExpressionPtr object;
  ExpressionPtr start;  // each may be null
  ExpressionPtr stop;
  ExpressionPtr step;
};
struct Call {
  ExpressionPtr callee;
  CallArguments arguments;
};
struct FilterCall {
  ExpressionPtr input;
  std::string name;
  CallArguments arguments;
};
struct TestCall {
  ExpressionPtr input;
  std::string name;
  CallArguments arguments;
};
// The text of the enclosing {% filter %} or {% set %} block, where its filters begin.
struct BlockText {};

struct Expression {
  using Node = std::variant<Literal, Name, TupleDisplay, ListDisplay, DictDisplay, Unary, Binary,
                            Logical, Comparison, Concatenation, Conditional, AttributeAccess,
                            ItemAccess, SliceAccess, Call, FilterCall, TestCall, BlockText>;
  int line = 0;
  int depth = 1;  // of the tree below
  Node node;
};

// Calls visit(child) for every child in the order of Jinja's own tree, which its scoping depends
// on.
void ForEachChild(Expression& expression, const std::function<void(Expression&)>& visit);

// What {% set %}, {% for %} and {% with %} assign to: a name, namespace.attribute, or a list of
// these.
struct Target {
  int line = 0;
  std::string name;                      // of the variable or namespace
  std::optional<std::string> attribute;  // of the namespace
  std::vector<Target> parts;             // of a tuple, which has no name
  bool is_tuple = false;
  SlotRef place;
};

// How one slot begins when a scope is entered.
struct SlotLoad {
  enum class Source {
    kMissing,   // unset until assigned
    kVariable,  // the variable of the render named `name`
    kOuter,     // the value that `outer` has now
  };
  int slot = 0;
  Source source = Source::kMissing;
  std::string name;
  SlotRef outer;
};

// The variables of a block that has a scope of its own. Filled in by the resolver.
struct ScopeLayout {
  int num_slots = 0;
  std::vector<SlotLoad> loads;
};

struct Statement;
using Body = std::vector<std::unique_ptr<Statement>>;

struct Text {
  std::string text;
};
struct Print {
  ExpressionPtr value;
};
struct If {
  struct Branch {
    int line = 0;
    ExpressionPtr test;
    Body body;
  };
  std::vector<Branch> branches;  // if, elif...
  Body otherwise;
};
struct For {
  Target target;
  ExpressionPtr iterable;
  ExpressionPtr test;  // or null
  Body body;
  Body otherwise;  // where no iteration ran to the end of the body
  bool recursive = false;
  int loop_slot = -1;      // of the variable `loop`
  Target test_target;      // the target, as the test sees it
  ScopeLayout body_scope;  // entered for every item
  ScopeLayout test_scope;  // entered once
  ScopeLayout else_scope;
};
struct Set {
  Target target;
  ExpressionPtr value;
};
struct SetBlock {
  Target target;
  ExpressionPtr filter;  // or null
  Body body;
  ScopeLayout scope;
};
// What {% macro %} and {% call %} have in common: parameters and a body.
struct MacroDefinition {
  struct Parameter {
    std::string name;
    ExpressionPtr default_value;  // or null
    int slot = -1;
  };
  std::string name;
  std::vector<Parameter> parameters;
  Body body;
  ScopeLayout scope;
  // Slots of the special variables; -1 where the body does not use them.
  int caller_slot = -1;
  int kwargs_slot = -1;
  int varargs_slot = -1;
};
struct Macro {
  MacroDefinition definition;
  SlotRef place;
};
// {% call macro(...) %}, or {% generation %}, which calls its own body.
struct CallBlock {
  MacroDefinition definition;
  ExpressionPtr call;  // null for generation
};
struct FilterBlock {
  ExpressionPtr filter;
  Body body;
  ScopeLayout scope;
};
struct With {
  std::vector<std::pair<Target, ExpressionPtr>> variables;
  Body body;
  ScopeLayout scope;
};
struct Break {};
struct Continue {};

struct Statement {
  using Node = std::variant<Text, Print, If, For, Set, SetBlock, Macro, CallBlock, FilterBlock,
                            With, Break, Continue>;
  int line = 0;
  Node node;
};

struct Template {
  Body body;
  ScopeLayout scope;
};

}  // namespace tandem::jinja
