#include "engine/tokenizer/json_fields.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace tandem {
namespace {

absl::Status WrongType(const Json* field, absl::string_view key, absl::string_view where,
                       absl::string_view type) {
  if (field == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(where, ": \"", key, "\" is absent"));
  }
  return absl::InvalidArgumentError(
      absl::StrCat(where, ": \"", key, "\" is a ", field->type_name(), ", not a ", type));
}

}  // namespace

absl::StatusOr<Json> ParseJson(absl::string_view text, absl::string_view what) {
  try {
    return Json::parse(text.begin(), text.end());
  } catch (const Json::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(what, " is not JSON: ", error.what()));
  }
}

const Json* FindField(const Json& object, absl::string_view key) {
  if (!object.is_object()) return nullptr;
  const auto field = object.find(std::string(key));
  return field == object.end() || field->is_null() ? nullptr : &*field;
}

absl::StatusOr<std::string> StringField(const Json& object, absl::string_view key,
                                        absl::string_view where) {
  const Json* field = FindField(object, key);
  if (field == nullptr || !field->is_string()) return WrongType(field, key, where, "string");
  return field->get<std::string>();
}

absl::StatusOr<bool> BoolFieldOr(const Json& object, absl::string_view key, bool fallback,
                                 absl::string_view where) {
  const Json* field = FindField(object, key);
  if (field == nullptr) return fallback;
  if (!field->is_boolean()) return WrongType(field, key, where, "boolean");
  return field->get<bool>();
}

absl::StatusOr<int64_t> IntField(const Json& object, absl::string_view key,
                                 absl::string_view where) {
  const Json* field = FindField(object, key);
  if (field == nullptr || !field->is_number_integer()) {
    return WrongType(field, key, where, "integer");
  }
  return field->get<int64_t>();
}

absl::StatusOr<const Json*> ArrayField(const Json& object, absl::string_view key,
                                       absl::string_view where) {
  const Json* field = FindField(object, key);
  if (field == nullptr || !field->is_array()) return WrongType(field, key, where, "list");
  return field;
}

}  // namespace tandem
