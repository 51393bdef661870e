// JSON as the commands print it.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace tandem {

// Indented unless `indent` is -1. Bytes that are no UTF-8, such as those of a file's name or of a
// server's error that was cut short, become U+FFFD: what was measured must not be lost to them.
inline std::string JsonText(const nlohmann::ordered_json& value, int indent = 1) {
  return value.dump(indent, ' ', /*ensure_ascii=*/false,
                    nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace tandem
