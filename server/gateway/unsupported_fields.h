// Fields that would change the answer and that this build cannot honour: they are refused by name,
// never silently dropped. What nobody knows is ignored, as OpenAI clients expect.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "server/gateway/json_fields.h"

namespace tandem {

// `value` of a field that no parser takes; `body` is the whole request. UNIMPLEMENTED for a known
// field whose value asks for something; OK for one that asks for the default, and for an unknown
// field, which is logged once per name. Thread-safe.
absl::Status CheckUnsupportedField(absl::string_view name, const Json& value, const Json& body);

}  // namespace tandem
