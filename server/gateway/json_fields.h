// Reads JSON that comes from outside: a body with limits, and fields of an expected type. Every
// failure is INVALID_ARGUMENT that names the field (see WithParam) and what was found instead.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/core/ids.h"
#include "nlohmann/json.hpp"

namespace tandem {

// Keeps the order of keys, which chat templates show to the model.
using Json = nlohmann::ordered_json;

// A body that must be one JSON object. Refuses nesting deeper than 64 and objects of more than
// 1,024 keys: ordered objects search linearly, so a hostile one would cost quadratic time.
absl::StatusOr<Json> ParseJsonObject(absl::string_view body);

absl::StatusOr<bool> AsBool(absl::string_view field, const Json& value);
// Takes 3 and 3.0; refuses what is outside [min, max].
absl::StatusOr<int64_t> AsInteger(absl::string_view field, const Json& value, int64_t min,
                                  int64_t max);
absl::StatusOr<double> AsNumber(absl::string_view field, const Json& value);
absl::StatusOr<std::string> AsString(absl::string_view field, const Json& value);
// A string, or a list of strings.
absl::StatusOr<std::vector<std::string>> AsStrings(absl::string_view field, const Json& value);
// A list of ids that fit a TokenId; whether the vocabulary has them is not known here.
absl::StatusOr<std::vector<TokenId>> AsTokenIds(absl::string_view field, const Json& value);

// Refuses a field of `object` that is none of `names`; `prefix` is what it stands in, as "slo.".
absl::Status CheckKnownFields(const Json& object, absl::string_view prefix,
                              std::initializer_list<absl::string_view> names);

// "string", "number", "null", ...: JSON's name of the value's type.
absl::string_view JsonTypeName(const Json& value);

// Compact; bytes that are no UTF-8 become U+FFFD, so that it cannot fail.
std::string DumpJson(const Json& value);

}  // namespace tandem
