// The `messages` of a chat request, checked and brought into the form that chat templates expect.
#pragma once

#include "absl/status/statusor.h"
#include "server/gateway/json_fields.h"

namespace tandem {

// A non-empty list of {"role", "content", ...}. Content parts of type "text" become one string,
// joined by newlines; arguments of tool calls, which clients send as JSON text, become objects;
// other keys stay as they are. INVALID_ARGUMENT names the place (messages[1].content),
// UNIMPLEMENTED a content part that is not text.
absl::StatusOr<Json> ParseMessages(const Json& value);

}  // namespace tandem
