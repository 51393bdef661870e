#include "server/controller/what_if.h"

#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "scheduler/planner/traffic_shift.h"
#include "server/controller/plan_messages.h"

namespace tandem {
namespace {

constexpr int kMostInstances = 256;  // of a simulation

absl::Status CheckRange(const char* field, double value, double least, double most) {
  if (std::isfinite(value) && value >= least && value <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, " must be within ", least, " and ", most, ", got ", value));
}

}  // namespace

absl::Status CheckWhatIf(const v1::WhatIfRequest& request) {
  RETURN_IF_ERROR(CheckRange("minutes", request.minutes(), 0.01, 1440));
  RETURN_IF_ERROR(CheckRange("rate_scale", request.rate_scale(), 0.01, 100));
  RETURN_IF_ERROR(CheckRange("ttft_target_ms", request.ttft_target_ms(), 0, 1e9));
  RETURN_IF_ERROR(CheckRange("tpot_target_ms", request.tpot_target_ms(), 0, 1e9));
  if (!request.has_placement()) return absl::OkStatus();
  const v1::RoleCounts& counts = request.placement();
  RETURN_IF_ERROR(CheckRange("placement.prefill", counts.prefill(), 0, kMostInstances));
  RETURN_IF_ERROR(CheckRange("placement.decode", counts.decode(), 0, kMostInstances));
  RETURN_IF_ERROR(CheckRange("placement.mixed", counts.mixed(), 0, kMostInstances));
  if (CanServe(ToPlacement(counts))) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "placement cannot serve: it needs a mixed worker, or a prefill and a decode one");
}

absl::StatusOr<v1::WhatIfResponse> AnswerWhatIf(const v1::WhatIfRequest& request,
                                                const TrafficWindow& window,
                                                std::vector<PlannedInstance> instances,
                                                ReplayOptions options) {
  if (window.requests.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("no requests came within the last ", request.minutes(), " minutes"));
  }
  const ClusterPlacement present = PlacementOf(instances);
  if (const absl::Status status = CheckServable(instances); !status.ok()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the cluster cannot serve: ", std::string(status.message())));
  }
  RETURN_IF_ERROR(ShareLatencies(instances));
  if (request.ttft_target_ms() > 0 || request.tpot_target_ms() > 0) {
    SloTargets& targets = options.targets.emplace();
    if (request.ttft_target_ms() > 0) targets.ttft = absl::Milliseconds(request.ttft_target_ms());
    if (request.tpot_target_ms() > 0) targets.tpot = absl::Milliseconds(request.tpot_target_ms());
  }
  options.rate_scale = request.rate_scale();
  const ClusterPlacement wanted =
      request.has_placement() ? ToPlacement(request.placement()) : present;
  ASSIGN_OR_RETURN(const ServiceLevel as_it_is, Replay(instances, window, options));
  ServiceLevel other = as_it_is;
  if (wanted != present) {
    ASSIGN_OR_RETURN(other, Replay(AssignRoles(instances, wanted), window, options));
  }
  v1::WhatIfResponse response;
  *response.mutable_traffic() = ToProto(Summarize(window));
  *response.mutable_measured() = ToProto(Measure(window, options));
  *response.mutable_placement() = ToProto(present);
  *response.mutable_simulated() = ToProto(as_it_is);
  *response.mutable_other_placement() = ToProto(wanted);
  *response.mutable_other_simulated() = ToProto(other);
  return response;
}

}  // namespace tandem
