#include "engine/tokenizer/jinja_resolver.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "engine/tokenizer/jinja_filters.h"
#include "engine/tokenizer/jinja_lexer.h"
#include "engine/tokenizer/jinja_predicates.h"
#include "engine/tokenizer/jinja_symbols.h"
#include "engine/tokenizer/jinja_undeclared.h"

namespace tandem::jinja {
namespace {

template <typename... Visitors>
struct Overloaded : Visitors... {
  using Visitors::operator()...;
};
template <typename... Visitors>
Overloaded(Visitors...) -> Overloaded<Visitors...>;  // clang 14 wants it said

// Nested branches copy the symbols; real templates stay below 10^5.
constexpr size_t kMaxCopiedSymbols = 10'000'000;

// First pass over a scope: which names it reads and assigns, in Jinja's order.
class Analyzer {
 public:
  Analyzer(Symbols* symbols, size_t* num_copied) : symbols_(*symbols), num_copied_(*num_copied) {}

  void Visit(const Body& body) {
    for (const auto& statement : body) Visit(*statement);
  }

  void Visit(Expression& expression) {
    if (const Name* name = std::get_if<Name>(&expression.node)) symbols_.Load(name->name);
    ForEachChild(expression, [this](Expression& child) { Visit(child); });
  }

  void VisitIfAny(const ExpressionPtr& expression) {
    if (expression != nullptr) Visit(*expression);
  }

  void Assign(const Target& target, bool as_parameter) {
    for (const Target& part : target.parts) Assign(part, as_parameter);
    if (target.is_tuple) return;
    if (target.attribute.has_value()) {
      symbols_.Load(target.name);
    } else if (as_parameter) {
      symbols_.DeclareParameter(target.name);
    } else {
      symbols_.Store(target.name);
    }
  }

 private:
  // Statements with a scope of their own show only what belongs to the scope around them.
  void Visit(Statement& statement) {
    std::visit(Overloaded{[](Text&) {}, [this](Print& node) { Visit(*node.value); },
                          [this](If& node) { VisitIf(node); },
                          [this](For& node) { Visit(*node.iterable); },
                          [this](Set& node) {
                            Visit(*node.value);
                            Assign(node.target, /*as_parameter=*/false);
                          },
                          [this](SetBlock& node) { Assign(node.target, /*as_parameter=*/false); },
                          [this](Macro& node) { symbols_.Store(node.definition.name); },
                          [this](CallBlock& node) { VisitIfAny(node.call); },
                          [this](FilterBlock& node) { Visit(*node.filter); },
                          [this](With& node) {
                            for (auto& [target, value] : node.variables) Visit(*value);
                          },
                          [](Break&) {}, [](Continue&) {}},
               statement.node);
  }

  // Jinja's tree: the branches after the first are ifs in a list, which are one branch together.
  void VisitIf(If& node) {
    Visit(*node.branches[0].test);
    std::vector<Symbols> copies;
    copies.push_back(InBranch([&](Analyzer& branch) { branch.Visit(node.branches[0].body); }));
    copies.push_back(InBranch([&](Analyzer& branch) {
      for (size_t i = 1; i < node.branches.size(); ++i) branch.VisitElif(node.branches[i]);
    }));
    copies.push_back(InBranch([&](Analyzer& branch) { branch.Visit(node.otherwise); }));
    symbols_.MergeBranches(copies);
  }

  void VisitElif(If::Branch& node) {
    Visit(*node.test);
    symbols_.MergeBranches({InBranch([&](Analyzer& branch) { branch.Visit(node.body); })});
  }

  template <typename VisitBranch>
  Symbols InBranch(VisitBranch visit) {
    Symbols copy = symbols_;
    num_copied_ += copy.size();
    // Past the limit the result is not used.
    if (num_copied_ > kMaxCopiedSymbols) return copy;
    Analyzer branch(&copy, &num_copied_);
    visit(branch);
    return copy;
  }

  Symbols& symbols_;
  size_t& num_copied_;
};

// Second pass: gives every name its place, scope by scope.
class Resolver {
 public:
  absl::Status ResolveRoot(Template& root) {
    Symbols symbols(nullptr);
    Analyzer(&symbols, &num_copied_).Visit(root.body);
    root.scope = symbols.Layout();
    return ResolveBody(root.body, symbols, /*soft=*/false);
  }

 private:
  // `soft`: directly in an `if`, where an unknown filter is an error only when it is reached.
  absl::Status ResolveBody(const Body& body, const Symbols& symbols, bool soft) {
    if (num_copied_ > kMaxCopiedSymbols) {
      return absl::InvalidArgumentError("chat template: too many variables in nested branches");
    }
    for (const auto& statement : body) {
      RETURN_IF_ERROR(
          std::visit([&](auto& node) { return Resolve(node, symbols, soft); }, statement->node));
    }
    return absl::OkStatus();
  }

  absl::Status Resolve(Text&, const Symbols&, bool) { return absl::OkStatus(); }
  absl::Status Resolve(Break&, const Symbols&, bool) { return absl::OkStatus(); }
  absl::Status Resolve(Continue&, const Symbols&, bool) { return absl::OkStatus(); }

  absl::Status Resolve(Print& node, const Symbols& symbols, bool soft) {
    return Resolve(*node.value, symbols, soft);
  }

  absl::Status Resolve(If& node, const Symbols& symbols, bool soft) {
    for (If::Branch& branch : node.branches) {
      RETURN_IF_ERROR(Resolve(*branch.test, symbols, /*soft=*/true));
      RETURN_IF_ERROR(ResolveBody(branch.body, symbols, /*soft=*/true));
    }
    return ResolveBody(node.otherwise, symbols, /*soft=*/true);
  }

  absl::Status Resolve(For& node, const Symbols& symbols, bool soft) {
    RETURN_IF_ERROR(Resolve(*node.iterable, symbols, soft));
    Symbols body_symbols(&symbols);
    node.loop_slot = body_symbols.DeclareParameter("loop");
    Analyzer body(&body_symbols, &num_copied_);
    body.Assign(node.target, /*as_parameter=*/true);
    body.Visit(node.body);
    node.body_scope = body_symbols.Layout();
    Resolve(node.target, body_symbols);
    RETURN_IF_ERROR(ResolveBody(node.body, body_symbols, /*soft=*/false));

    Symbols test_symbols(&symbols);
    if (node.test != nullptr) {
      Analyzer test(&test_symbols, &num_copied_);
      test.Assign(node.test_target, /*as_parameter=*/true);
      test.Visit(*node.test);
      node.test_scope = test_symbols.Layout();
      Resolve(node.test_target, test_symbols);
      RETURN_IF_ERROR(Resolve(*node.test, test_symbols, /*soft=*/false));
    }
    Symbols else_symbols(&symbols);
    Analyzer(&else_symbols, &num_copied_).Visit(node.otherwise);
    node.else_scope = else_symbols.Layout();
    return ResolveBody(node.otherwise, else_symbols, /*soft=*/false);
  }

  absl::Status Resolve(Set& node, const Symbols& symbols, bool soft) {
    Resolve(node.target, symbols);
    return Resolve(*node.value, symbols, soft);
  }

  absl::Status Resolve(SetBlock& node, const Symbols& symbols, bool) {
    Resolve(node.target, symbols);
    return ResolveBlock(node.body, node.filter, symbols, &node.scope);
  }

  absl::Status Resolve(FilterBlock& node, const Symbols& symbols, bool) {
    return ResolveBlock(node.body, node.filter, symbols, &node.scope);
  }

  // A block whose text goes through `filter`, which may be null.
  absl::Status ResolveBlock(const Body& body, const ExpressionPtr& filter, const Symbols& symbols,
                            ScopeLayout* scope) {
    Symbols block_symbols(&symbols);
    Analyzer analyzer(&block_symbols, &num_copied_);
    analyzer.Visit(body);
    analyzer.VisitIfAny(filter);
    *scope = block_symbols.Layout();
    RETURN_IF_ERROR(ResolveBody(body, block_symbols, /*soft=*/false));
    return filter == nullptr ? absl::OkStatus() : Resolve(*filter, block_symbols, /*soft=*/false);
  }

  absl::Status Resolve(With& node, const Symbols& symbols, bool soft) {
    Symbols with_symbols(&symbols);
    Analyzer analyzer(&with_symbols, &num_copied_);
    for (auto& [target, value] : node.variables) analyzer.Assign(target, /*as_parameter=*/true);
    analyzer.Visit(node.body);
    node.scope = with_symbols.Layout();
    for (auto& [target, value] : node.variables) {
      Resolve(target, with_symbols);
      RETURN_IF_ERROR(Resolve(*value, symbols, soft));
    }
    return ResolveBody(node.body, with_symbols, /*soft=*/false);
  }

  absl::Status Resolve(Macro& node, const Symbols& symbols, bool) {
    node.place = *symbols.Find(node.definition.name);
    return ResolveDefinition(node.definition, symbols);
  }

  absl::Status Resolve(CallBlock& node, const Symbols& symbols, bool soft) {
    RETURN_IF_ERROR(ResolveDefinition(node.definition, symbols));
    return node.call == nullptr ? absl::OkStatus() : Resolve(*node.call, symbols, soft);
  }

  absl::Status ResolveDefinition(MacroDefinition& definition, const Symbols& symbols) {
    Symbols macro_symbols(&symbols);
    Analyzer analyzer(&macro_symbols, &num_copied_);
    for (auto& parameter : definition.parameters) {
      parameter.slot = macro_symbols.DeclareParameter(parameter.name);
    }
    for (auto& parameter : definition.parameters) analyzer.VisitIfAny(parameter.default_value);
    analyzer.Visit(definition.body);
    RETURN_IF_ERROR(DeclareSpecialVariables(definition, &macro_symbols));
    definition.scope = macro_symbols.Layout();
    for (auto& parameter : definition.parameters) {
      if (parameter.default_value == nullptr) continue;
      RETURN_IF_ERROR(Resolve(*parameter.default_value, macro_symbols, /*soft=*/false));
    }
    return ResolveBody(definition.body, macro_symbols, /*soft=*/false);
  }

  static absl::Status DeclareSpecialVariables(MacroDefinition& definition, Symbols* symbols) {
    const std::set<std::string> used =
        FindUndeclared(definition.body, {"caller", "kwargs", "varargs"});
    const auto find_parameter = [&definition](absl::string_view name) {
      return std::find_if(definition.parameters.begin(), definition.parameters.end(),
                          [name](const auto& parameter) { return parameter.name == name; });
    };
    const auto declare = [&](const char* name) {
      const bool is_parameter = find_parameter(name) != definition.parameters.end();
      return is_parameter || used.count(name) == 0 ? -1 : symbols->DeclareParameter(name);
    };
    const auto caller = find_parameter("caller");
    if (caller != definition.parameters.end() && used.count("caller") > 0 &&
        caller->default_value == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("chat template: the argument 'caller' of the macro '", definition.name,
                       "' must be omitted or be given a default"));
    }
    definition.caller_slot = declare("caller");
    definition.kwargs_slot = declare("kwargs");
    definition.varargs_slot = declare("varargs");
    return absl::OkStatus();
  }

  static void Resolve(Target& target, const Symbols& symbols) {
    for (Target& part : target.parts) Resolve(part, symbols);
    if (!target.is_tuple) target.place = *symbols.Find(target.name);
  }

  absl::Status Resolve(Expression& expression, const Symbols& symbols, bool soft) {
    if (Name* name = std::get_if<Name>(&expression.node)) name->place = *symbols.Find(name->name);
    if (!soft) RETURN_IF_ERROR(CheckKnown(expression));
    const bool children_soft = soft || std::holds_alternative<Conditional>(expression.node);
    absl::Status status;
    ForEachChild(expression, [&](Expression& child) {
      if (status.ok()) status = Resolve(child, symbols, children_soft);
    });
    return status;
  }

  static absl::Status CheckKnown(const Expression& expression) {
    const FilterCall* filter = std::get_if<FilterCall>(&expression.node);
    if (filter != nullptr && !IsKnownFilter(filter->name)) {
      return SyntaxError(expression.line, absl::StrCat("No filter named '", filter->name, "'."));
    }
    const TestCall* test = std::get_if<TestCall>(&expression.node);
    if (test != nullptr && !IsKnownTest(test->name)) {
      return SyntaxError(expression.line, absl::StrCat("No test named '", test->name, "'."));
    }
    return absl::OkStatus();
  }

  size_t num_copied_ = 0;
};

}  // namespace

absl::Status ResolveVariables(Template& root) { return Resolver().ResolveRoot(root); }

}  // namespace tandem::jinja
