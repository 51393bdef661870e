// Which names a macro's body uses without making them: decides whether the macro takes `caller`,
// `kwargs` and `varargs`.
#pragma once

#include <set>
#include <string>

#include "engine/tokenizer/jinja_ast.h"

namespace tandem::jinja {

// Those of `names` that `body` reads before it assigns them, blocks within it included.
std::set<std::string> FindUndeclared(const Body& body, std::set<std::string> names);

}  // namespace tandem::jinja
