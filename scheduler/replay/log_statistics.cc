#include "scheduler/replay/log_statistics.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "scheduler/replay/read_json.h"

namespace tandem {
namespace {

using nlohmann::json;

int64_t NumElements(const json& call, const char* name) {
  const auto found = call.find(name);
  return found == call.end() || !found->is_array() ? 0 : static_cast<int64_t>(found->size());
}

}  // namespace

int64_t NumDecisions(const json& call) {
  const std::string name = CallReader(call).Get<std::string>("call");
  if (name == "add" || name == "expect" || name == "route" || name == "take_prefixes") return 1;
  if (name == "schedule") return call.contains("step") ? 1 : 0;
  return NumElements(call, "events") + NumElements(call, "expired");
}

void LogStatistics::Count(const json& call) {
  const std::string name = CallReader(call).Get<std::string>("call");
  if (name.empty()) return;
  ++calls[name];
  if (const auto found = call.find("events"); found != call.end() && found->is_array()) {
    for (const json& event : *found) {
      if (event.is_array() && !event.empty() && event[0].is_string()) {
        ++events[event[0].get<std::string>()];
      }
    }
  }
  absl::Time now;
  const auto found = call.find("now");
  if (found == call.end() || !ReadJson(*found, &now)) return;
  first = std::min(first, now);
  last = std::max(last, now);
  CountStep(call, name, now);
}

void LogStatistics::CountStep(const json& call, const std::string& name, absl::Time now) {
  uint64_t step = 0;
  const auto found = call.find("step");
  if (found == call.end() || !ReadJson(*found, &step)) return;
  if (name == "schedule") {
    step_begins_[step] = now;
  } else if (const auto begin = step_begins_.find(step); begin != step_begins_.end()) {
    step_ms.push_back(absl::ToDoubleMilliseconds(now - begin->second));
    step_begins_.erase(begin);
  }
}

}  // namespace tandem
