#include "scheduler/replay/append_json.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

namespace tandem {

void AppendJson(double value, std::string* out) {
  if (std::isnan(value)) return absl::StrAppend(out, "\"nan\"");
  if (std::isinf(value)) return absl::StrAppend(out, value > 0 ? "\"inf\"" : "\"-inf\"");
  if (value == 0) return absl::StrAppend(out, std::signbit(value) ? "-0.0" : "0");
  char digits[32];  // 24 are the most that a double takes
  const auto end = std::to_chars(digits, digits + sizeof(digits), value).ptr;
  out->append(digits, end);
}

void AppendJson(absl::string_view text, std::string* out) {
  using nlohmann::json;
  *out += json(std::string(text)).dump(-1, ' ', false, json::error_handler_t::replace);
}

void AppendJson(absl::Duration duration, std::string* out) {
  const int64_t nanoseconds = absl::ToInt64Nanoseconds(duration);
  if (absl::Nanoseconds(nanoseconds) == duration) {
    absl::StrAppend(out, nanoseconds);
  } else {
    absl::StrAppend(out, "\"", absl::FormatDuration(duration), "\"");
  }
}

void AppendJson(const absl::Status& status, std::string* out) {
  absl::StrAppend(out, "[\"", absl::StatusCodeToString(status.code()), "\",");
  AppendJson(status.message(), out);
  out->push_back(']');
}

}  // namespace tandem
