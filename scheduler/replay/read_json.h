// What append_json.h has written, back into the values that were written.
#pragma once

#include <concepts>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "engine/core/dtype.h"
#include "engine/core/ids.h"
#include "scheduler/instance_view.h"
#include "scheduler/replay/log_fields.h"

namespace tandem {

// Each returns false, and leaves `to` in any state, when `from` is nothing that AppendJson writes
// for such a value.

template <std::integral T>
bool ReadJson(const nlohmann::json& from, T* to) {
  if constexpr (std::same_as<T, bool>) {
    if (!from.is_boolean()) return false;
    *to = from.get<bool>();
    return true;
  } else {
    if (!from.is_number_integer()) return false;
    const bool fits = from.is_number_unsigned() ? std::in_range<T>(from.get<uint64_t>())
                                                : std::in_range<T>(from.get<int64_t>());
    if (fits) *to = from.get<T>();
    return fits;
  }
}
bool ReadJson(const nlohmann::json& from, double* to);
bool ReadJson(const nlohmann::json& from, float* to);
bool ReadJson(const nlohmann::json& from, std::string* to);
bool ReadJson(const nlohmann::json& from, absl::Duration* to);
bool ReadJson(const nlohmann::json& from, absl::Time* to);
bool ReadJson(const nlohmann::json& from, DType* to);
bool ReadJson(const nlohmann::json& from, InstanceRole* to);
bool ReadJson(const nlohmann::json& from, absl::Status* to);

template <typename Tag, typename T>
bool ReadJson(const nlohmann::json& from, StrongId<Tag, T>* to);
template <typename A, typename B>
bool ReadJson(const nlohmann::json& from, std::pair<A, B>* to);
template <typename T>
bool ReadJson(const nlohmann::json& from, std::optional<T>* to);
template <typename T>
bool ReadJson(const nlohmann::json& from, std::vector<T>* to);
template <HasFields T>
bool ReadJson(const nlohmann::json& from, T* to);

// The fields of `to` that the object has; the others stay as they are.
template <HasFields T>
bool ReadFields(const nlohmann::json& from, T* to);

// What AppendRuns has written.
bool ReadRuns(const nlohmann::json& from, std::vector<int>* to);

// The fields of one call, with the first error that reading them meets.
//
//   CallReader call(json);
//   const auto id = call.Get<RequestId>("id");
//   RETURN_IF_ERROR(call.status());
class CallReader {
 public:
  // `call` is an object and outlives the reader.
  explicit CallReader(const nlohmann::json& call) : call_(call) {}

  // T() where there is no such field, or another kind of value.
  template <typename T>
  T Get(const char* name) {
    T value{};
    GetInto(name, &value);
    return value;
  }
  // For fields that change what is there.
  template <HasFields T>
  void GetFields(const char* name, T* value) {
    const nlohmann::json* const found = Find(name);
    if (found != nullptr && !ReadFields(*found, value)) Refuse(name, *found);
  }
  // The field as it stands; null where there is none.
  const nlohmann::json& Raw(const char* name);

  // DATA_LOSS names the first field that was asked for and is missing or of another kind.
  const absl::Status& status() const { return status_; }

 private:
  template <typename T>
  void GetInto(const char* name, T* value) {
    const nlohmann::json* const found = Find(name);
    if (found == nullptr || ReadJson(*found, value)) return;
    Refuse(name, *found);
    *value = T{};
  }
  const nlohmann::json* Find(const char* name);
  void Refuse(const char* name, const nlohmann::json& value);

  const nlohmann::json& call_;
  absl::Status status_;
};

// --- Definitions.

template <typename Tag, typename T>
bool ReadJson(const nlohmann::json& from, StrongId<Tag, T>* to) {
  T value{};
  if (!ReadJson(from, &value)) return false;
  *to = StrongId<Tag, T>(std::move(value));
  return true;
}

template <typename A, typename B>
bool ReadJson(const nlohmann::json& from, std::pair<A, B>* to) {
  return from.is_array() && from.size() == 2 && ReadJson(from[0], &to->first) &&
         ReadJson(from[1], &to->second);
}

template <typename T>
bool ReadJson(const nlohmann::json& from, std::optional<T>* to) {
  if (from.is_null()) {
    *to = std::nullopt;
    return true;
  }
  return ReadJson(from, &to->emplace());
}

template <typename T>
bool ReadJson(const nlohmann::json& from, std::vector<T>* to) {
  if (!from.is_array()) return false;
  to->clear();
  to->reserve(from.size());
  for (const nlohmann::json& value : from) {
    if (!ReadJson(value, &to->emplace_back())) return false;
  }
  return true;
}

template <HasFields T>
bool ReadJson(const nlohmann::json& from, T* to) {
  *to = T();
  return ReadFields(from, to);
}

template <HasFields T>
bool ReadFields(const nlohmann::json& from, T* to) {
  if (!from.is_object()) return false;
  bool is_read = true;
  ListFields(to, [&](const char* name, auto field) {
    const auto found = from.find(name);
    if (found != from.end()) is_read = is_read && ReadJson(*found, &(to->*field));
  });
  return is_read;
}

}  // namespace tandem
