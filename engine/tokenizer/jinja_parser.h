// Parses a template into its syntax tree, with the grammar of Jinja 3.1, the extension loopcontrols
// ({% break %}, {% continue %}) and {% generation %} of transformers.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/tokenizer/jinja_ast.h"

namespace tandem::jinja {

// The tree, not yet resolved. INVALID_ARGUMENT for what Jinja refuses, UNIMPLEMENTED for the tags
// that want other templates (include, extends, import...); both name line and construct. Trees that
// nest too deeply for a render are refused.
absl::StatusOr<std::unique_ptr<Template>> ParseTemplate(absl::string_view source);

}  // namespace tandem::jinja
