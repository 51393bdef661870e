// The variables of one scope while a template is resolved: jinja2.idtracking's Symbols.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "engine/tokenizer/jinja_ast.h"

namespace tandem::jinja {

// Copies share the slots of their scope, so that the branches of an `if` agree on them.
class Symbols {
 public:
  // `parent`: the scope around this one, or null for the root. It must outlive this one.
  explicit Symbols(const Symbols* parent)
      : parent_(parent), slots_(std::make_shared<absl::flat_hash_map<std::string, int>>()) {}

  // The name is read, assigned, or set before the body runs (a parameter, a loop variable).
  void Load(const std::string& name);
  void Store(const std::string& name);
  int DeclareParameter(const std::string& name);

  // Takes over what the branches of an `if` did, which were copies of this.
  void MergeBranches(const std::vector<Symbols>& branches);

  // The place of a name; nullopt where no scope from here outwards has it.
  std::optional<SlotRef> Find(const std::string& name) const;
  ScopeLayout Layout() const;
  // How much a copy costs.
  size_t size() const { return references_.size() + stores_.size(); }

 private:
  int Define(const std::string& name, SlotLoad load);
  // The place of a name in the scopes around this one.
  std::optional<SlotRef> FindOutside(const std::string& name) const;

  const Symbols* parent_;
  std::shared_ptr<absl::flat_hash_map<std::string, int>> slots_;  // by name
  std::set<std::string> references_;                              // names that this scope has
  absl::flat_hash_map<std::string, SlotLoad> loads_;              // by name; none for parameters
  std::set<std::string> stores_;
};

}  // namespace tandem::jinja
