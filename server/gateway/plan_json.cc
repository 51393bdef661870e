#include "server/gateway/plan_json.h"

#include <initializer_list>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "server/gateway/cluster_metrics.h"
#include "server/gateway/error.h"

namespace tandem {
namespace {

constexpr int kMostInstances = 256;  // of a role, in a simulation

// --- Questions.

// Null where it is not there.
absl::StatusOr<const Json*> FindObject(const Json& body, const char* field,
                                       std::initializer_list<absl::string_view> names) {
  const auto found = body.find(field);
  if (found == body.end() || found->is_null()) return nullptr;
  if (!found->is_object()) {
    return InvalidField(
        field, absl::StrCat("`", field, "` must be an object, got a ", JsonTypeName(*found), "."));
  }
  RETURN_IF_ERROR(CheckKnownFields(*found, absl::StrCat(field, "."), names));
  return &*found;
}

absl::Status TakePlacement(const Json& placement, v1::RoleCounts& counts) {
  const auto take = [&](const char* role) -> absl::StatusOr<int32_t> {
    const auto found = placement.find(role);
    if (found == placement.end()) return 0;
    ASSIGN_OR_RETURN(const int64_t count,
                     AsInteger(absl::StrCat("placement.", role), *found, 0, kMostInstances));
    return static_cast<int32_t>(count);
  };
  ASSIGN_OR_RETURN(const int32_t prefill, take("prefill"));
  ASSIGN_OR_RETURN(const int32_t decode, take("decode"));
  ASSIGN_OR_RETURN(const int32_t mixed, take("mixed"));
  counts.set_prefill(prefill);
  counts.set_decode(decode);
  counts.set_mixed(mixed);
  if (mixed > 0 || (prefill > 0 && decode > 0)) return absl::OkStatus();
  return InvalidField("placement",
                      "`placement` needs a mixed worker, or a prefill and a decode one.");
}

struct NumberField {
  const char* object;  // with a dot behind it, or empty
  const char* name;
  double least, most;
  double otherwise;  // where it is not there
};
constexpr NumberField kTtft = {"slo.", "ttft_ms", 0.001, 1e9, 0};
constexpr NumberField kTpot = {"slo.", "tpot_ms", 0.001, 1e9, 0};
constexpr NumberField kMinutes = {"", "minutes", 0.01, 1440, 5};
constexpr NumberField kRateScale = {"", "rate_scale", 0.01, 100, 1};

absl::StatusOr<double> TakeNumber(const Json& object, const NumberField& number) {
  const auto found = object.find(number.name);
  if (found == object.end() || found->is_null()) return number.otherwise;
  const std::string field = absl::StrCat(number.object, number.name);
  ASSIGN_OR_RETURN(const double value, AsNumber(field, *found));
  if (value >= number.least && value <= number.most) return value;
  return InvalidField(field, absl::StrCat("`", field, "` must be within ", number.least, " and ",
                                          number.most, ", got ", value, "."));
}

// --- Answers.

Json CountsJson(const v1::RoleCounts& counts) {
  return {{"prefill", counts.prefill()}, {"decode", counts.decode()}, {"mixed", counts.mixed()}};
}

Json ScoredJson(const v1::ScoredRoles& scored) {
  return {{"placement", CountsJson(scored.placement())}, {"attainment", scored.attainment()}};
}

Json TrafficJson(const v1::TrafficReport& traffic) {
  return {{"seconds", traffic.seconds()},
          {"requests", traffic.requests()},
          {"rate", traffic.rate()},
          {"prompt_tokens", traffic.prompt_tokens()},
          {"output_tokens", traffic.output_tokens()},
          {"cached_share", traffic.cached_share()}};
}

Json PercentilesJson(const v1::ServiceReport::Percentiles& percentiles) {
  return {{"p50", percentiles.p50()}, {"p90", percentiles.p90()}, {"p99", percentiles.p99()}};
}

Json ServiceJson(const v1::ServiceReport& service) {
  return {{"requests", service.requests()},
          {"unserved", service.unserved()},
          {"attainment", service.attainment()},
          {"goodput", service.goodput()},
          {"ttft_ms", PercentilesJson(service.ttft_ms())},
          {"tpot_ms", PercentilesJson(service.tpot_ms())}};
}

Json DecisionJson(const v1::PlanDecision& decision) {
  Json candidates = Json::array(), switches = Json::array();
  for (const v1::ScoredRoles& candidate : decision.candidates()) {
    candidates.push_back(ScoredJson(candidate));
  }
  for (const v1::RoleChange& change : decision.switches()) {
    switches.push_back({{"instance", change.instance_id()},
                        {"from", RoleName(change.from())},
                        {"to", RoleName(change.to())}});
  }
  return {{"time", static_cast<double>(decision.unix_ms()) / 1000},
          {"action", decision.action()},
          {"trigger", decision.trigger()},
          {"reason", decision.reason()},
          {"present", ScoredJson(decision.present())},
          {"chosen", ScoredJson(decision.chosen())},
          {"wanted_replicas", CountsJson(decision.wanted())},
          {"switches", std::move(switches)},
          {"candidates", std::move(candidates)}};
}

}  // namespace

Json PlanJson(const v1::Plan& plan) {
  Json decisions = Json::array();
  for (const v1::PlanDecision& decision : plan.decisions()) {
    decisions.push_back(DecisionJson(decision));
  }
  return {{"mode", plan.mode()},
          {"status", plan.status()},
          {"placement", CountsJson(plan.placement())},
          {"wanted_replicas", plan.has_wanted() ? CountsJson(plan.wanted()) : Json(nullptr)},
          {"traffic", TrafficJson(plan.traffic())},
          {"planned_for", plan.has_planned_for() ? TrafficJson(plan.planned_for()) : Json(nullptr)},
          {"decisions", std::move(decisions)}};
}

absl::StatusOr<v1::WhatIfRequest> ParseWhatIf(const Json& body) {
  RETURN_IF_ERROR(CheckKnownFields(body, "", {"placement", "slo", "minutes", "rate_scale"}));
  v1::WhatIfRequest request;
  ASSIGN_OR_RETURN(const Json* placement,
                   FindObject(body, "placement", {"prefill", "decode", "mixed"}));
  if (placement != nullptr)
    RETURN_IF_ERROR(TakePlacement(*placement, *request.mutable_placement()));
  ASSIGN_OR_RETURN(const Json* slo, FindObject(body, "slo", {"ttft_ms", "tpot_ms"}));
  if (slo != nullptr) {
    ASSIGN_OR_RETURN(const double ttft, TakeNumber(*slo, kTtft));
    ASSIGN_OR_RETURN(const double tpot, TakeNumber(*slo, kTpot));
    request.set_ttft_target_ms(ttft);
    request.set_tpot_target_ms(tpot);
  }
  ASSIGN_OR_RETURN(const double minutes, TakeNumber(body, kMinutes));
  ASSIGN_OR_RETURN(const double rate_scale, TakeNumber(body, kRateScale));
  request.set_minutes(minutes);
  request.set_rate_scale(rate_scale);
  return request;
}

Json WhatIfJson(const v1::WhatIfResponse& answer) {
  return {{"traffic", TrafficJson(answer.traffic())},
          {"measured", ServiceJson(answer.measured())},
          {"present",
           {{"placement", CountsJson(answer.placement())},
            {"simulated", ServiceJson(answer.simulated())}}},
          {"whatif",
           {{"placement", CountsJson(answer.other_placement())},
            {"simulated", ServiceJson(answer.other_simulated())}}}};
}

}  // namespace tandem
