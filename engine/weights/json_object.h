// JSON files of a Hugging Face folder: parsing without exceptions, and typed access to one object
// with errors that name file and key.
//
//   ASSIGN_OR_RETURN(const JsonObject config, ReadJsonObject("model/config.json"));
//   ASSIGN_OR_RETURN(const int64_t hidden, config.Int("hidden_size"));
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tandem {

// Parses a whole JSON text. INVALID_ARGUMENT names `file` and the byte where it stops being JSON,
// or the key that an object has twice.
absl::StatusOr<nlohmann::json> ParseFileJson(absl::string_view file, absl::string_view text);

// An object with the file it came from. As in transformers, null counts as absent.
class JsonObject {
 public:
  JsonObject(std::string file, nlohmann::json object)
      : file_(std::move(file)), object_(std::move(object)) {}

  const std::string& file() const { return file_; }
  const nlohmann::json& object() const { return object_; }
  bool Has(absl::string_view key) const { return Find(key) != nullptr; }
  // The value, or null where it is absent.
  const nlohmann::json* Find(absl::string_view key) const;

  // INVALID_ARGUMENT when absent or of another type (Float takes an integer too; Int takes no
  // fraction).
  absl::StatusOr<int64_t> Int(absl::string_view key) const;
  absl::StatusOr<double> Float(absl::string_view key) const;
  absl::StatusOr<std::string> String(absl::string_view key) const;

  // `fallback` when absent; INVALID_ARGUMENT when of another type.
  absl::StatusOr<int64_t> IntOr(absl::string_view key, int64_t fallback) const;
  absl::StatusOr<double> FloatOr(absl::string_view key, double fallback) const;
  absl::StatusOr<bool> BoolOr(absl::string_view key, bool fallback) const;
  absl::StatusOr<std::string> StringOr(absl::string_view key, absl::string_view fallback) const;

  // An object inside this one; empty when absent; INVALID_ARGUMENT when not an object.
  absl::StatusOr<JsonObject> Object(absl::string_view key) const;

 private:
  absl::Status WrongType(absl::string_view key, absl::string_view expected) const;

  std::string file_;
  nlohmann::json object_;
};

// A file whose text is one JSON object. Errors of ReadTextFile and ParseJson, or INVALID_ARGUMENT
// for another kind of JSON.
absl::StatusOr<JsonObject> ReadJsonObject(const std::string& path);

}  // namespace tandem
