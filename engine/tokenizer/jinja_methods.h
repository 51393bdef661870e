// The methods of Python's str, list, tuple and dict that the sandbox allows.
#pragma once

#include <optional>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/tokenizer/jinja_object.h"
#include "engine/tokenizer/jinja_runtime.h"
#include "engine/tokenizer/jinja_value.h"

namespace tandem::jinja {

using Method = absl::StatusOr<Value> (*)(Runtime& runtime, const Value& self,
                                         const Arguments& arguments);

// `value.name` bound to the value; nullopt where Python's type has no such method. A method that
// Python has and we do not can be looked up, and fails with UNIMPLEMENTED when called.
std::optional<Value> FindMethod(const Value& value, absl::string_view name);

// Whether the method would change a list or dict, which the sandbox forbids.
bool IsMutatingMethod(const Value& value, absl::string_view name);

// One table per type. Null: no such method. Those of str work on plain text: FindMethod adds what
// is special for Markup.
Method FindStringMethod(absl::string_view name);
Method FindContainerMethod(Kind kind, absl::string_view name);

// The pieces of `text` between occurrences of `separator` (not empty); at most `max_splits` cuts
// (negative: no limit), counted from that end.
std::vector<absl::string_view> SplitText(absl::string_view text, absl::string_view separator,
                                         int64_t max_splits, bool from_right);

// `text` with the first `max_count` (negative: all) occurrences of `from` replaced. An empty `from`
// occurs before every character and at the end.
absl::StatusOr<std::string> ReplaceText(Runtime& runtime, absl::string_view text,
                                        absl::string_view from, absl::string_view to,
                                        int64_t max_count);

}  // namespace tandem::jinja
