// Gives every variable of a template its place: which scope, which slot there.
//
// Jinja compiles a template to Python functions, and its scoping follows from how: an assignment in
// a loop or block makes a variable of that block, which begins with the value that the outer one
// has on entry; `if` has no scope of its own; macros see later changes of outer variables. This
// pass makes the same decisions as jinja2.idtracking, so that a variable is found, or is undefined,
// in the same places.
#pragma once

#include "absl/status/status.h"
#include "engine/tokenizer/jinja_ast.h"

namespace tandem::jinja {

// Fills in the scopes and slots of `root`. INVALID_ARGUMENT for a filter or test that Jinja does
// not know, where Jinja checks it before the render (outside of `if`), and for a template of which
// this pass would take too long.
absl::Status ResolveVariables(Template& root);

}  // namespace tandem::jinja
