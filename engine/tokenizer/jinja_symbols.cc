#include "engine/tokenizer/jinja_symbols.h"

#include <utility>

namespace tandem::jinja {

int Symbols::Define(const std::string& name, SlotLoad load) {
  references_.insert(name);
  const int slot = slots_->try_emplace(name, static_cast<int>(slots_->size())).first->second;
  load.slot = slot;
  loads_[name] = std::move(load);
  return slot;
}

void Symbols::Load(const std::string& name) {
  if (Find(name).has_value()) return;
  Define(name, {.source = SlotLoad::Source::kVariable, .name = name, .outer = {}});
}

void Symbols::Store(const std::string& name) {
  stores_.insert(name);
  if (references_.count(name) > 0) return;
  const std::optional<SlotRef> outer = FindOutside(name);
  if (outer.has_value()) {
    Define(name, {.source = SlotLoad::Source::kOuter, .name = name, .outer = *outer});
  } else {
    Define(name, {.source = SlotLoad::Source::kMissing, .name = name, .outer = {}});
  }
}

int Symbols::DeclareParameter(const std::string& name) {
  stores_.insert(name);
  const int slot = Define(name, {});
  loads_.erase(name);
  return slot;
}

void Symbols::MergeBranches(const std::vector<Symbols>& branches) {
  std::set<std::string> new_stores;
  for (const Symbols& branch : branches) {
    for (const std::string& name : branch.stores_) {
      if (stores_.count(name) == 0) new_stores.insert(name);
    }
  }
  for (const Symbols& branch : branches) {
    references_.insert(branch.references_.begin(), branch.references_.end());
    for (const auto& [name, load] : branch.loads_) loads_[name] = load;
    stores_.insert(branch.stores_.begin(), branch.stores_.end());
  }
  // Where a branch that does not assign is taken, the variable is what it was before.
  for (const std::string& name : new_stores) {
    const std::optional<SlotRef> outer = FindOutside(name);
    if (outer.has_value()) {
      Define(name, {.source = SlotLoad::Source::kOuter, .name = name, .outer = *outer});
    } else {
      Define(name, {.source = SlotLoad::Source::kVariable, .name = name, .outer = {}});
    }
  }
}

std::optional<SlotRef> Symbols::Find(const std::string& name) const {
  int depth = 0;
  for (const Symbols* scope = this; scope != nullptr; scope = scope->parent_, ++depth) {
    if (scope->references_.count(name) > 0) return SlotRef{depth, scope->slots_->at(name)};
  }
  return std::nullopt;
}

std::optional<SlotRef> Symbols::FindOutside(const std::string& name) const {
  if (parent_ == nullptr) return std::nullopt;
  std::optional<SlotRef> place = parent_->Find(name);
  if (place.has_value()) ++place->depth;
  return place;
}

ScopeLayout Symbols::Layout() const {
  ScopeLayout layout;
  layout.num_slots = static_cast<int>(slots_->size());
  for (const auto& [name, load] : loads_) {
    if (load.source != SlotLoad::Source::kMissing) layout.loads.push_back(load);
  }
  return layout;
}

}  // namespace tandem::jinja
