#include "engine/tokenizer/jinja_undeclared.h"

#include <utility>
#include <variant>

namespace tandem::jinja {
namespace {

// Walks the whole tree in the order of Jinja's fields.
class UndeclaredNames {
 public:
  explicit UndeclaredNames(std::set<std::string> names) : names_(std::move(names)) {}

  void Visit(const Body& body) {
    for (const auto& statement : body) {
      std::visit([this](const auto& node) { Visit(node); }, statement->node);
    }
  }

  std::set<std::string> Found() && { return std::move(found_); }

 private:
  void Visit(Expression& expression) {
    if (const Name* name = std::get_if<Name>(&expression.node)) {
      if (names_.count(name->name) > 0) found_.insert(name->name);
    }
    ForEachChild(expression, [this](Expression& child) { Visit(child); });
  }

  void VisitIfAny(const ExpressionPtr& expression) {
    if (expression != nullptr) Visit(*expression);
  }

  void Declare(const Target& target) {
    for (const Target& part : target.parts) Declare(part);
    if (!target.attribute.has_value()) names_.erase(target.name);
  }

  void Visit(const Text&) {}
  void Visit(const Break&) {}
  void Visit(const Continue&) {}
  void Visit(const Print& node) { Visit(*node.value); }
  void Visit(const If& node) {
    for (const If::Branch& branch : node.branches) {
      Visit(*branch.test);
      Visit(branch.body);
    }
    Visit(node.otherwise);
  }
  void Visit(const For& node) {
    Declare(node.target);
    Visit(*node.iterable);
    Visit(node.body);
    Visit(node.otherwise);
    VisitIfAny(node.test);
  }
  void Visit(const Set& node) {
    Declare(node.target);
    Visit(*node.value);
  }
  void Visit(const SetBlock& node) {
    Declare(node.target);
    VisitIfAny(node.filter);
    Visit(node.body);
  }
  void Visit(const Macro& node) { Visit(node.definition); }
  void Visit(const CallBlock& node) {
    VisitIfAny(node.call);
    Visit(node.definition);
  }
  void Visit(const MacroDefinition& definition) {
    for (const auto& parameter : definition.parameters) names_.erase(parameter.name);
    for (const auto& parameter : definition.parameters) VisitIfAny(parameter.default_value);
    Visit(definition.body);
  }
  void Visit(const FilterBlock& node) {
    Visit(node.body);
    Visit(*node.filter);
  }
  void Visit(const With& node) {
    for (const auto& [target, value] : node.variables) Declare(target);
    for (const auto& [target, value] : node.variables) Visit(*value);
    Visit(node.body);
  }

  std::set<std::string> names_;
  std::set<std::string> found_;
};

}  // namespace

std::set<std::string> FindUndeclared(const Body& body, std::set<std::string> names) {
  UndeclaredNames finder(std::move(names));
  finder.Visit(body);
  return std::move(finder).Found();
}

}  // namespace tandem::jinja
