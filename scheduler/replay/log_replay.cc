#include "scheduler/replay/log_replay.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "engine/core/status_macros.h"
#include "scheduler/replay/read_json.h"

namespace tandem {

using nlohmann::json;

absl::Status LogReplay::Play(absl::string_view line) {
  ++line_number_;
  const json call = json::parse(line.begin(), line.end(), nullptr, /*allow_exceptions=*/false);
  const absl::Status status = !call.is_object()    ? absl::DataLossError("no JSON object")
                              : player_ == nullptr ? Begin(call)
                                                   : PlayCall(call, line);
  if (status.ok()) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("line ", line_number_, ": ", status.message()));
}

absl::Status LogReplay::Begin(const json& header) {
  CallReader fields(header);
  const auto format = fields.Get<int>("tandem_event_log");
  const auto kind = fields.Get<std::string>("kind");
  if (!fields.status().ok()) return absl::DataLossError("not the beginning of an event log");
  if (format != kEventLogFormat) {
    return absl::DataLossError(absl::StrCat("an event log of format ", format,
                                            ", where this build reads ", kEventLogFormat));
  }
  const LineSink sink = [this](absl::string_view line) { absl::StrAppend(&written_, line); };
  if (kind == "instance") {
    ASSIGN_OR_RETURN(player_, MakeInstancePlayer(header, sink));
  } else if (kind == "router") {
    ASSIGN_OR_RETURN(player_, MakeRouterPlayer(header, sink));
  } else {
    return absl::DataLossError(absl::StrCat("an event log of kind \"", kind, "\""));
  }
  report_.kind = kind;
  return absl::OkStatus();
}

absl::Status LogReplay::PlayCall(const json& call, absl::string_view line) {
  const int64_t num_decisions = NumDecisions(call);
  ++report_.num_calls;
  report_.num_decisions += num_decisions;
  report_.statistics.Count(call);
  if (report_.difference) return absl::OkStatus();
  written_.clear();
  RETURN_IF_ERROR(player_->Play(call));
  const absl::string_view replayed = absl::StripSuffix(written_, "\n");
  if (replayed != line) {
    report_.difference = {
        .line = line_number_, .logged = std::string(line), .replayed = std::string(replayed)};
    return absl::OkStatus();
  }
  ++report_.num_equal_calls;
  report_.num_equal_decisions += num_decisions;
  return absl::OkStatus();
}

}  // namespace tandem
