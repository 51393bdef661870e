// Checked access to JSON from outside: each reader returns a Status that names the field.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tandem {

using Json = nlohmann::json;

// INVALID_ARGUMENT names `what` and where it stops being JSON.
absl::StatusOr<Json> ParseJson(absl::string_view text, absl::string_view what);

// The member, or null where `object` is no object, has none, or has JSON's null.
const Json* FindField(const Json& object, absl::string_view key);

// Members of an object. INVALID_ARGUMENT where absent (without a fallback) or of another type;
// `where` stands in front of the message.
absl::StatusOr<std::string> StringField(const Json& object, absl::string_view key,
                                        absl::string_view where);
absl::StatusOr<bool> BoolFieldOr(const Json& object, absl::string_view key, bool fallback,
                                 absl::string_view where);
absl::StatusOr<int64_t> IntField(const Json& object, absl::string_view key,
                                 absl::string_view where);
absl::StatusOr<const Json*> ArrayField(const Json& object, absl::string_view key,
                                       absl::string_view where);

}  // namespace tandem
