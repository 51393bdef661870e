// Values as JSON text, appended to a line: the event log is written between a worker's steps, where
// there is no time to build a tree first. read_json.h reads them back, each exactly as it was.
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "engine/core/dtype.h"
#include "engine/core/ids.h"
#include "scheduler/instance_view.h"
#include "scheduler/replay/log_fields.h"

namespace tandem {

template <std::integral T>
void AppendJson(T value, std::string* out) {
  if constexpr (std::same_as<T, bool>) {
    absl::StrAppend(out, value ? "true" : "false");
  } else {
    absl::StrAppend(out, value);
  }
}
// The shortest digits that read as the same number; a string where JSON has no number for it.
void AppendJson(double value, std::string* out);
inline void AppendJson(float value, std::string* out) { AppendJson(double{value}, out); }
// Bytes that are not UTF-8 are replaced.
void AppendJson(absl::string_view text, std::string* out);
inline void AppendJson(const std::string& text, std::string* out) {
  AppendJson(absl::string_view(text), out);
}
// Nanoseconds, a time since 1970; a string such as "1.25ns" or "inf" where they are no integer.
void AppendJson(absl::Duration duration, std::string* out);
inline void AppendJson(absl::Time time, std::string* out) {
  AppendJson(time - absl::UnixEpoch(), out);
}
inline void AppendJson(DType dtype, std::string* out) { AppendJson(GetDTypeInfo(dtype).name, out); }
inline void AppendJson(InstanceRole role, std::string* out) {
  AppendJson(InstanceRoleName(role), out);
}
// ["INTERNAL","its message"].
void AppendJson(const absl::Status& status, std::string* out);

template <typename Tag, typename T>
void AppendJson(const StrongId<Tag, T>& id, std::string* out);
template <typename A, typename B>
void AppendJson(const std::pair<A, B>& pair, std::string* out);
template <typename T>
void AppendJson(const std::optional<T>& value, std::string* out);  // null: none
template <typename T>
void AppendJson(const std::vector<T>& values, std::string* out);
template <HasFields T>
void AppendJson(const T& value, std::string* out);  // what differs from T()

// An object of the fields of `value` that differ from `base`.
template <HasFields T>
void AppendChangedFields(const T& value, const T& base, std::string* out);
// An object of all fields.
template <HasFields T>
void AppendAllFields(const T& value, std::string* out);

// Ascending neighbours as one, behind `before`: "0-12,40". For the blocks of a sequence, which are
// mostly in a row.
template <typename T>
void AppendRuns(absl::Span<const T> numbers, std::string* out, const char* before = "");

// --- Definitions.

template <typename Tag, typename T>
void AppendJson(const StrongId<Tag, T>& id, std::string* out) {
  AppendJson(id.value(), out);
}

template <typename A, typename B>
void AppendJson(const std::pair<A, B>& pair, std::string* out) {
  out->push_back('[');
  AppendJson(pair.first, out);
  out->push_back(',');
  AppendJson(pair.second, out);
  out->push_back(']');
}

template <typename T>
void AppendJson(const std::optional<T>& value, std::string* out) {
  if (value.has_value()) {
    AppendJson(*value, out);
  } else {
    absl::StrAppend(out, "null");
  }
}

template <typename T>
void AppendJson(const std::vector<T>& values, std::string* out) {
  out->push_back('[');
  for (size_t i = 0; i < values.size(); ++i) {
    if (i > 0) out->push_back(',');
    AppendJson(values[i], out);
  }
  out->push_back(']');
}

template <HasFields T>
void AppendJson(const T& value, std::string* out) {
  AppendChangedFields(value, T(), out);
}

// `is_written` says which.
template <HasFields T, typename IsWritten>
void AppendFields(const T& value, const IsWritten& is_written, std::string* out) {
  char before = '{';
  ListFields(&value, [&](const char* name, auto field) {
    if (!is_written(field)) return;
    out->push_back(std::exchange(before, ','));
    absl::StrAppend(out, "\"", name, "\":");
    AppendJson(value.*field, out);
  });
  absl::StrAppend(out, before == '{' ? "{}" : "}");
}

template <HasFields T>
void AppendChangedFields(const T& value, const T& base, std::string* out) {
  AppendFields(
      value, [&](auto field) { return !IsSame(value.*field, base.*field); }, out);
}

template <HasFields T>
void AppendAllFields(const T& value, std::string* out) {
  AppendFields(
      value, [](auto field) { return true; }, out);
}

template <typename T>
void AppendRuns(absl::Span<const T> numbers, std::string* out, const char* before) {
  absl::StrAppend(out, "\"", before);
  for (size_t i = 0; i < numbers.size();) {
    size_t end = i + 1;
    while (end < numbers.size() && numbers[end] == numbers[end - 1] + 1) ++end;
    absl::StrAppend(out, i > 0 ? "," : "", numbers[i]);
    if (end > i + 1) absl::StrAppend(out, "-", numbers[end - 1]);
    i = end;
  }
  out->push_back('"');
}

}  // namespace tandem
