#include "engine/weights/json_object.h"

#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "engine/core/status_macros.h"
#include "engine/weights/file_errors.h"
#include "engine/weights/mapped_file.h"

namespace tandem {

using nlohmann::json;

// Values are copied by recursion, so their depth must not be the file's to choose.
constexpr int kMaxDepth = 64;

absl::StatusOr<json> ParseFileJson(absl::string_view file, absl::string_view text) {
  // JSON leaves open what a repeated key means; in a tensor directory it would hide a tensor.
  std::vector<absl::flat_hash_set<std::string>> open_objects;
  std::string repeated;
  bool too_deep = false;
  const auto watch = [&](int depth, json::parse_event_t event, json& parsed) {
    too_deep |= depth > kMaxDepth;
    if (too_deep) return false;  // drops the value
    if (event == json::parse_event_t::object_start) open_objects.emplace_back();
    if (event == json::parse_event_t::object_end) open_objects.pop_back();
    if (event == json::parse_event_t::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      if (!open_objects.back().insert(key).second && repeated.empty()) repeated = Quoted(key);
    }
    return true;
  };
  try {
    json parsed = json::parse(text.begin(), text.end(), watch);
    if (too_deep) return Malformed(file, "JSON nested deeper than ", kMaxDepth, " levels");
    if (!repeated.empty()) return Malformed(file, "key ", repeated, " occurs twice in one object");
    return parsed;
  } catch (const json::parse_error& error) {
    return Malformed(file, "not valid JSON at byte ", error.byte);
  } catch (const json::exception&) {
    return Malformed(file, "not valid JSON: a number is out of range");
  }
}

const json* JsonObject::Find(absl::string_view key) const {
  const auto it = object_.find(std::string(key));
  return it == object_.end() || it->is_null() ? nullptr : &*it;
}

absl::Status JsonObject::WrongType(absl::string_view key, absl::string_view expected) const {
  const json* value = Find(key);
  if (value == nullptr) return Malformed(file_, Quoted(key), " is missing");
  return Malformed(file_, Quoted(key), " must be ", expected, ", not ",
                   value->is_number() ? "another number" : value->type_name());
}

absl::StatusOr<int64_t> JsonObject::Int(absl::string_view key) const {
  const json* value = Find(key);
  if (value != nullptr && value->is_number_integer()) {
    const bool too_large =
        value->is_number_unsigned() &&
        value->get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
    if (!too_large) return value->get<int64_t>();
  }
  return WrongType(key, "an integer");
}

absl::StatusOr<double> JsonObject::Float(absl::string_view key) const {
  const json* value = Find(key);
  if (value != nullptr && value->is_number()) return value->get<double>();
  return WrongType(key, "a number");
}

absl::StatusOr<std::string> JsonObject::String(absl::string_view key) const {
  const json* value = Find(key);
  if (value != nullptr && value->is_string()) return value->get<std::string>();
  return WrongType(key, "a string");
}

absl::StatusOr<int64_t> JsonObject::IntOr(absl::string_view key, int64_t fallback) const {
  if (!Has(key)) return fallback;
  return Int(key);
}

absl::StatusOr<double> JsonObject::FloatOr(absl::string_view key, double fallback) const {
  if (!Has(key)) return fallback;
  return Float(key);
}

absl::StatusOr<bool> JsonObject::BoolOr(absl::string_view key, bool fallback) const {
  const json* value = Find(key);
  if (value == nullptr) return fallback;
  if (value->is_boolean()) return value->get<bool>();
  return WrongType(key, "true or false");
}

absl::StatusOr<std::string> JsonObject::StringOr(absl::string_view key,
                                                 absl::string_view fallback) const {
  if (!Has(key)) return std::string(fallback);
  return String(key);
}

absl::StatusOr<JsonObject> JsonObject::Object(absl::string_view key) const {
  const json* value = Find(key);
  if (value == nullptr) return JsonObject(file_, json::object());
  if (value->is_object()) return JsonObject(file_, *value);
  return WrongType(key, "an object");
}

absl::StatusOr<JsonObject> ReadJsonObject(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path));
  ASSIGN_OR_RETURN(json parsed, ParseFileJson(path, text));
  if (!parsed.is_object()) return Malformed(path, "not a JSON object");
  return JsonObject(path, std::move(parsed));
}

}  // namespace tandem
