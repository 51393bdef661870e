// Values to and from JSON.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "engine/tokenizer/jinja_runtime.h"
#include "engine/tokenizer/jinja_value.h"

namespace tandem::jinja {

// The options of Python's json.dumps. Its separators depend on whether there is an indent.
struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  std::optional<std::string> indent;  // of one level; nullopt: all on one line
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};

// What json.dumps writes. INVALID_ARGUMENT for what JSON cannot hold (an Undefined, a macro, a
// generator...) and beyond the limits of the render.
absl::StatusOr<std::string> ToJson(Runtime& runtime, const Value& value, const JsonStyle& style);

// Keeps the order of keys. INVALID_ARGUMENT where the JSON nests deeper than kMaxValueDepth or
// holds invalid UTF-8.
absl::StatusOr<Value> FromJson(const nlohmann::ordered_json& json);

}  // namespace tandem::jinja
