#include "scheduler/replay/read_json.h"

#include <limits>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace tandem {
namespace {

using nlohmann::json;

// Of a field's value, in an error.
constexpr size_t kMaxShown = 80;

}  // namespace

bool ReadJson(const json& from, double* to) {
  if (from.is_number()) {
    *to = from.get<double>();
    return true;
  }
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (from == "nan") *to = std::numeric_limits<double>::quiet_NaN();
  if (from == "inf") *to = kInfinity;
  if (from == "-inf") *to = -kInfinity;
  return from == "nan" || from == "inf" || from == "-inf";
}

bool ReadJson(const json& from, float* to) {
  double value = 0;
  if (!ReadJson(from, &value)) return false;
  *to = static_cast<float>(value);
  return true;
}

bool ReadJson(const json& from, std::string* to) {
  if (!from.is_string()) return false;
  *to = from.get<std::string>();
  return true;
}

bool ReadJson(const json& from, absl::Duration* to) {
  if (from.is_string()) return absl::ParseDuration(from.get<std::string>(), to);
  int64_t nanoseconds = 0;
  if (!ReadJson(from, &nanoseconds)) return false;
  *to = absl::Nanoseconds(nanoseconds);
  return true;
}

bool ReadJson(const json& from, absl::Time* to) {
  absl::Duration since_epoch;
  if (!ReadJson(from, &since_epoch)) return false;
  *to = absl::UnixEpoch() + since_epoch;
  return true;
}

bool ReadJson(const json& from, DType* to) {
  if (!from.is_string()) return false;
  const absl::StatusOr<DType> dtype = ParseDType(from.get<std::string>());
  if (dtype.ok()) *to = *dtype;
  return dtype.ok();
}

bool ReadJson(const json& from, InstanceRole* to) {
  for (InstanceRole role : {InstanceRole::kPrefill, InstanceRole::kDecode, InstanceRole::kMixed}) {
    if (!from.is_string() || from.get<std::string>() != InstanceRoleName(role)) continue;
    *to = role;
    return true;
  }
  return false;
}

bool ReadJson(const json& from, absl::Status* to) {
  std::pair<std::string, std::string> parts;
  if (!ReadJson(from, &parts)) return false;
  constexpr int kNumCodes = 17;  // canonical ones, OK included
  for (int code = 0; code < kNumCodes; ++code) {
    if (absl::StatusCodeToString(static_cast<absl::StatusCode>(code)) != parts.first) continue;
    *to = absl::Status(static_cast<absl::StatusCode>(code), parts.second);
    return true;
  }
  return false;
}

bool ReadRuns(const json& from, std::vector<int>* to) {
  to->clear();
  if (!from.is_string()) return false;
  const std::string text = from.get<std::string>();
  for (absl::string_view run : absl::StrSplit(text, ',', absl::SkipEmpty())) {
    const std::vector<absl::string_view> ends = absl::StrSplit(run, '-');
    int first = 0, last = 0;
    if (ends.size() > 2 || !absl::SimpleAtoi(ends.front(), &first) ||
        !absl::SimpleAtoi(ends.back(), &last) || first < 0 || last < first ||
        last - first > (1 << 24)) {  // longer than any sequence: it would only fill the memory
      return false;
    }
    for (int number = first; number <= last; ++number) to->push_back(number);
  }
  return true;
}

const json* CallReader::Find(const char* name) {
  const auto found = call_.find(name);
  if (found != call_.end()) return &*found;
  if (status_.ok()) status_ = absl::DataLossError(absl::StrCat("field \"", name, "\" is missing"));
  return nullptr;
}

const json& CallReader::Raw(const char* name) {
  static const json kNull;
  const json* const found = Find(name);
  return found == nullptr ? kNull : *found;
}

void CallReader::Refuse(const char* name, const json& value) {
  if (!status_.ok()) return;
  const std::string text = value.dump(-1, ' ', false, json::error_handler_t::replace);
  const absl::string_view shown = absl::string_view(text).substr(0, kMaxShown);
  status_ = absl::DataLossError(absl::StrCat("field \"", name, "\" cannot be ", shown,
                                             shown.size() < text.size() ? "..." : ""));
}

}  // namespace tandem
