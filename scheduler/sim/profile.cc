#include "scheduler/sim/profile.h"

#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/core/status_macros.h"

namespace tandem {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

ordered_json DecodeJson(const LatencyCoefficients::Decode& decode) {
  return {
      {"base_ms", decode.base_ms}, {"context_ms", decode.context_ms}, {"row_ms", decode.row_ms}};
}

ordered_json LatencyJson(const LatencyCoefficients& latency) {
  ordered_json object = {{"prefill",
                          {{"base_ms", latency.prefill.base_ms},
                           {"token_ms", latency.prefill.token_ms},
                           {"square_ms", latency.prefill.square_ms}}},
                         {"decode", DecodeJson(latency.decode)}};
  if (latency.large_decode_rows > 0) {
    object["large_decode_rows"] = latency.large_decode_rows;
    object["large_decode"] = DecodeJson(latency.large_decode);
  }
  return object;
}

ordered_json InstanceJson(const InstanceProfile& instance) {
  ordered_json object = {{"model", instance.model},
                         {"device", instance.device},
                         {"tp", instance.tp},
                         {"pp", instance.pp},
                         {"threads", instance.threads},
                         {"block_size", instance.block_size},
                         {"num_kv_tokens", instance.num_kv_tokens},
                         {"kv_bytes_per_token", instance.kv_bytes_per_token},
                         {"num_layers", instance.num_layers},
                         {"weight_bytes", instance.weight_bytes},
                         {"max_num_batched_tokens", instance.max_num_batched_tokens},
                         {"prefill_batch_tokens", instance.prefill_batch_tokens},
                         {"latency", LatencyJson(instance.latency)},
                         {"mean_error", instance.mean_error}};
  if (instance.max_error > 0) object["max_error"] = instance.max_error;
  if (instance.scatter != StepScatter()) {
    object["scatter"] = {{"prefill", instance.scatter.prefill},
                         {"decode", instance.scatter.decode}};
  }
  if (instance.steps.Total() > 0) {
    object["steps"] = {{"prefill", instance.steps.prefill},
                       {"decode", instance.steps.decode},
                       {"mixed", instance.steps.mixed}};
  }
  return object;
}

ordered_json PathJson(const RequestPath& path) {
  ordered_json object = {{"ingress_ms", absl::ToDoubleMilliseconds(path.ingress)},
                         {"route_ms", absl::ToDoubleMilliseconds(path.route)},
                         {"network_ms", absl::ToDoubleMilliseconds(path.network)},
                         {"detokenize_ms", absl::ToDoubleMilliseconds(path.detokenize)},
                         {"requests", path.num_requests}};
  if (path.kv_exposed) {
    object["kv_exposed_ms"] = absl::ToDoubleMilliseconds(*path.kv_exposed);
    object["handoffs"] = path.num_handoffs;
  }
  return object;
}

// Reads fields of one object; keeps the first error.
class FieldReader {
 public:
  FieldReader(const json& object, std::string path) : object_(object), path_(std::move(path)) {
    if (!object_.is_object()) Refuse(path_, "an object");
  }

  void Number(const char* name, double* value, bool is_required = true) {
    const json* field = Find(name, is_required);
    if (field == nullptr) return;
    if (!field->is_number() || !std::isfinite(field->get<double>())) {
      return Refuse(Path(name), "a number");
    }
    *value = field->get<double>();
  }

  template <typename Integer>
  void Count(const char* name, Integer least, Integer* value, bool is_required = false) {
    constexpr int64_t kMost = int64_t{1} << 50;
    const json* field = Find(name, is_required);
    if (field == nullptr) return;
    if (!field->is_number_integer() || field->get<int64_t>() < least ||
        field->get<int64_t>() > (sizeof(Integer) < 8 ? 1 << 30 : kMost)) {
      return Refuse(Path(name), absl::StrCat("a whole number of at least ", least));
    }
    *value = field->get<Integer>();
  }

  void Milliseconds(const char* name, absl::Duration* value) {
    const json* field = Find(name);
    if (field == nullptr) return;
    if (!field->is_number() || !(field->get<double>() >= 0 && field->get<double>() < 1e9)) {
      return Refuse(Path(name), "a time in milliseconds");
    }
    *value = absl::Milliseconds(field->get<double>());
  }

  void Share(const char* name, double* value) {
    Number(name, value);
    if (*value < 0 || *value > 1) Refuse(Path(name), "between 0 and 1");
  }

  void Text(const char* name, std::string* value) {
    const json* field = Find(name, /*is_required=*/false);
    if (field == nullptr) return;
    if (!field->is_string()) return Refuse(Path(name), "a string");
    *value = field->get<std::string>();
  }

  FieldReader Object(const char* name) {
    static const json* empty = new json(json::object());
    const json* field = Find(name);
    return FieldReader(field == nullptr ? *empty : *field, Path(name));
  }

  bool Has(const char* name) const { return object_.is_object() && object_.contains(name); }

  // Takes over the error of a part.
  void Join(const FieldReader& part) {
    if (status_.ok()) status_ = part.status_;
  }
  const absl::Status& status() const { return status_; }

 private:
  std::string Path(const char* name) const { return absl::StrCat(path_, ".", name); }
  const json* Find(const char* name, bool is_required = true) {
    const auto found = object_.is_object() ? object_.find(name) : object_.end();
    if (found != object_.end()) return &*found;
    if (is_required) Refuse(Path(name), "a value");
    return nullptr;
  }
  void Refuse(const std::string& path, const std::string& wanted) {
    if (!status_.ok()) return;
    status_ = absl::InvalidArgumentError(absl::StrCat("profile: ", path, " has to be ", wanted));
  }

  const json& object_;
  const std::string path_;
  absl::Status status_;
};

void ReadDecode(FieldReader reader, LatencyCoefficients::Decode* decode, FieldReader* parent) {
  reader.Number("base_ms", &decode->base_ms);
  reader.Number("context_ms", &decode->context_ms);
  reader.Number("row_ms", &decode->row_ms);
  parent->Join(reader);
}

absl::StatusOr<InstanceProfile> ReadInstance(const json& object, const std::string& path) {
  InstanceProfile profile;
  FieldReader reader(object, path);
  reader.Text("model", &profile.model);
  reader.Text("device", &profile.device);
  reader.Count("tp", 1, &profile.tp, /*is_required=*/true);
  reader.Count("pp", 1, &profile.pp, /*is_required=*/true);
  reader.Count("threads", 0, &profile.threads);
  reader.Count("block_size", 1, &profile.block_size);
  reader.Count("num_kv_tokens", int64_t{0}, &profile.num_kv_tokens);
  reader.Count("kv_bytes_per_token", int64_t{0}, &profile.kv_bytes_per_token);
  reader.Count("num_layers", 1, &profile.num_layers);
  reader.Count("weight_bytes", int64_t{0}, &profile.weight_bytes);
  reader.Count("max_num_batched_tokens", 1, &profile.max_num_batched_tokens);
  reader.Count("prefill_batch_tokens", 0, &profile.prefill_batch_tokens);
  reader.Number("mean_error", &profile.mean_error, /*is_required=*/false);
  reader.Number("max_error", &profile.max_error, /*is_required=*/false);
  FieldReader latency = reader.Object("latency");
  FieldReader prefill = latency.Object("prefill");
  prefill.Number("base_ms", &profile.latency.prefill.base_ms);
  prefill.Number("token_ms", &profile.latency.prefill.token_ms);
  prefill.Number("square_ms", &profile.latency.prefill.square_ms);
  latency.Join(prefill);
  ReadDecode(latency.Object("decode"), &profile.latency.decode, &latency);
  latency.Count("large_decode_rows", int64_t{0}, &profile.latency.large_decode_rows);
  if (profile.latency.large_decode_rows > 0) {
    ReadDecode(latency.Object("large_decode"), &profile.latency.large_decode, &latency);
  }
  reader.Join(latency);
  if (reader.Has("scatter")) {
    FieldReader scatter = reader.Object("scatter");
    scatter.Share("prefill", &profile.scatter.prefill);
    scatter.Share("decode", &profile.scatter.decode);
    reader.Join(scatter);
  }
  if (reader.Has("steps")) {
    FieldReader steps = reader.Object("steps");
    steps.Count("prefill", int64_t{0}, &profile.steps.prefill);
    steps.Count("decode", int64_t{0}, &profile.steps.decode);
    steps.Count("mixed", int64_t{0}, &profile.steps.mixed);
    reader.Join(steps);
  }
  RETURN_IF_ERROR(reader.status());
  RETURN_IF_ERROR(LatencyModel::Create(profile.latency).status());
  return profile;
}

absl::StatusOr<RequestPath> ReadPath(const json& object) {
  RequestPath path;
  FieldReader reader(object, "path");
  reader.Milliseconds("ingress_ms", &path.ingress);
  reader.Milliseconds("route_ms", &path.route);
  reader.Milliseconds("network_ms", &path.network);
  reader.Milliseconds("detokenize_ms", &path.detokenize);
  reader.Count("requests", int64_t{0}, &path.num_requests);
  if (reader.Has("kv_exposed_ms")) {
    reader.Milliseconds("kv_exposed_ms", &path.kv_exposed.emplace());
    reader.Count("handoffs", int64_t{0}, &path.num_handoffs);
  }
  RETURN_IF_ERROR(reader.status());
  return path;
}

}  // namespace

ordered_json ProfileJson(const Profile& profile) {
  ordered_json list = ordered_json::array();
  for (const InstanceProfile& instance : profile.instances) list.push_back(InstanceJson(instance));
  ordered_json root = {{"tandem_profile", 1}, {"instances", list}};
  if (profile.path) root["path"] = PathJson(*profile.path);
  return root;
}

absl::StatusOr<Profile> ParseProfile(absl::string_view text) {
  if (absl::StripAsciiWhitespace(text).empty()) {
    return absl::InvalidArgumentError("not a profile: the file is empty");
  }
  const json root = json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!root.is_object() || !root.contains("tandem_profile") || !root.contains("instances") ||
      !root["instances"].is_array()) {
    return absl::InvalidArgumentError(
        "not a profile: expected {\"tandem_profile\":1,\"instances\":[..]}");
  }
  Profile profile;
  for (const json& object : root["instances"]) {
    ASSIGN_OR_RETURN(
        InstanceProfile instance,
        ReadInstance(object, absl::StrCat("instances[", profile.instances.size(), "]")));
    profile.instances.push_back(std::move(instance));
  }
  if (root.contains("path")) {
    ASSIGN_OR_RETURN(profile.path, ReadPath(root["path"]));
  }
  return profile;
}

absl::StatusOr<InstanceProfile> FindProfile(const std::vector<InstanceProfile>& instances, int tp,
                                            int pp, int threads) {
  const auto name = [](int tp, int pp, int threads) {
    const std::string ranks = absl::StrCat(tp, "x", pp);
    return threads == 0 ? ranks : absl::StrCat(ranks, " of ", threads, " threads");
  };
  std::vector<std::string> known;
  for (const InstanceProfile& instance : instances) {
    const bool has_threads = threads == 0 || instance.threads == threads;
    if (instance.tp == tp && instance.pp == pp && has_threads) return instance;
    known.push_back(name(instance.tp, instance.pp, instance.threads));
  }
  return absl::NotFoundError(absl::StrCat("the profile has no instance of tp x pp ",
                                          name(tp, pp, threads), "; there is ",
                                          absl::StrJoin(known, ", ")));
}

}  // namespace tandem
