#include "server/gateway/json_fields.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/core/status_macros.h"
#include "server/gateway/error.h"

namespace tandem {
namespace {

constexpr int kMaxDepth = 64;
constexpr int kMaxKeysPerObject = 1024;

absl::Status WrongType(absl::string_view field, absl::string_view wanted, const Json& value) {
  return InvalidField(
      field, absl::StrCat("`", field, "` must be ", wanted, ", got ", JsonTypeName(value), "."));
}

// Watches the parser: past a limit nothing is stored any more.
class Limits {
 public:
  bool Keep(int depth, Json::parse_event_t event) {
    if (event == Json::parse_event_t::object_start) {
      num_keys_.resize(std::max<size_t>(num_keys_.size(), depth + 2));
      num_keys_[depth + 1] = 0;  // The object's keys are reported one level below its start.
    }
    if (event == Json::parse_event_t::key && ++num_keys_[depth] > kMaxKeysPerObject) {
      exceeded_ = absl::StrCat("an object has more than ", kMaxKeysPerObject, " keys");
    }
    if (depth > kMaxDepth) {
      exceeded_ = absl::StrCat("it is nested deeper than ", kMaxDepth, " levels");
    }
    return exceeded_.empty();
  }
  const std::string& exceeded() const { return exceeded_; }

 private:
  std::vector<int> num_keys_;  // so far, of the object that is open at each depth
  std::string exceeded_;
};

}  // namespace

absl::StatusOr<Json> ParseJsonObject(absl::string_view body) {
  Limits limits;
  Json json;
  try {
    json = Json::parse(body.begin(), body.end(),
                       [&limits](int depth, Json::parse_event_t event, Json& /*parsed*/) {
                         return limits.Keep(depth, event);
                       });
  } catch (const Json::exception& e) {
    const absl::string_view what = e.what();
    const size_t end_of_id = what.find("] ");
    return absl::InvalidArgumentError(
        absl::StrCat("The request body is not valid JSON: ",
                     end_of_id == absl::string_view::npos ? what : what.substr(end_of_id + 2)));
  }
  if (!limits.exceeded().empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("The request body is refused: ", limits.exceeded(), "."));
  }
  if (!json.is_object()) {
    return absl::InvalidArgumentError(
        absl::StrCat("The request body must be a JSON object, got ", JsonTypeName(json), "."));
  }
  return json;
}

absl::StatusOr<bool> AsBool(absl::string_view field, const Json& value) {
  if (!value.is_boolean()) return WrongType(field, "true or false", value);
  return value.get<bool>();
}

absl::StatusOr<int64_t> AsInteger(absl::string_view field, const Json& value, int64_t min,
                                  int64_t max) {
  const auto out_of_range = [&] {
    return InvalidField(field, absl::StrCat("`", field, "` must be between ", min, " and ", max,
                                            ", got ", DumpJson(value), "."));
  };
  if (value.is_number_unsigned()) {
    const uint64_t number = value.get<uint64_t>();
    if (number > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return out_of_range();
  } else if (value.is_number_float()) {
    const double number = value.get<double>();
    if (number != std::floor(number)) return WrongType(field, "an integer", value);
    constexpr double kExact = int64_t{1} << 53;
    if (std::abs(number) > kExact) return out_of_range();
  } else if (!value.is_number_integer()) {
    return WrongType(field, "an integer", value);
  }
  const int64_t number = value.get<int64_t>();
  if (number < min || number > max) return out_of_range();
  return number;
}

absl::StatusOr<double> AsNumber(absl::string_view field, const Json& value) {
  if (!value.is_number()) return WrongType(field, "a number", value);
  return value.get<double>();
}

absl::StatusOr<std::string> AsString(absl::string_view field, const Json& value) {
  if (!value.is_string()) return WrongType(field, "a string", value);
  return value.get<std::string>();
}

absl::StatusOr<std::vector<std::string>> AsStrings(absl::string_view field, const Json& value) {
  if (value.is_string()) return std::vector<std::string>{value.get<std::string>()};
  if (!value.is_array()) return WrongType(field, "a string or a list of strings", value);
  std::vector<std::string> strings;
  strings.reserve(value.size());
  for (const Json& item : value) {
    if (!item.is_string()) return WrongType(field, "a list of strings", item);
    strings.push_back(item.get<std::string>());
  }
  return strings;
}

absl::StatusOr<std::vector<TokenId>> AsTokenIds(absl::string_view field, const Json& value) {
  if (!value.is_array()) return WrongType(field, "a list of token ids", value);
  std::vector<TokenId> ids;
  ids.reserve(value.size());
  for (const Json& item : value) {
    ASSIGN_OR_RETURN(const int64_t id,
                     AsInteger(field, item, 0, std::numeric_limits<TokenId>::max()));
    ids.push_back(static_cast<TokenId>(id));
  }
  return ids;
}

absl::Status CheckKnownFields(const Json& object, absl::string_view prefix,
                              std::initializer_list<absl::string_view> names) {
  for (const auto& [key, value] : object.items()) {
    if (absl::c_linear_search(names, key)) continue;
    const std::string field = absl::StrCat(prefix, key);
    return InvalidField(field, absl::StrCat("`", field, "` is not known here; there are ",
                                            absl::StrJoin(names, ", "), "."));
  }
  return absl::OkStatus();
}

absl::string_view JsonTypeName(const Json& value) {
  if (value.is_number_float()) return "a fraction";
  return value.type_name();
}

std::string DumpJson(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace tandem
