#include "server/controller/plan_messages.h"

#include <utility>

#include "server/controller/cluster_messages.h"

namespace tandem {
namespace {

v1::ScoredRoles ToProto(const ScoredPlacement& scored) {
  v1::ScoredRoles message;
  *message.mutable_placement() = tandem::ToProto(scored.placement);
  message.set_attainment(scored.attainment);
  return message;
}

v1::ServiceReport::Percentiles ToProto(const Samples& samples) {
  v1::ServiceReport::Percentiles percentiles;
  percentiles.set_p50(samples.Percentile(50));
  percentiles.set_p90(samples.Percentile(90));
  percentiles.set_p99(samples.Percentile(99));
  return percentiles;
}

}  // namespace

TrafficRequest ToTraffic(const v1::RouteRequest& request,
                         const absl::StatusOr<v1::RouteResponse>& route, absl::Time now) {
  RouteRequest asked = FromProto(request);
  const absl::Duration waited = absl::Milliseconds(request.waited_ms());
  TrafficRequest traffic{.arrival = now - waited,
                         .prompt_tokens = asked.num_prompt_tokens,
                         .max_tokens = asked.max_tokens,
                         .slo_class = request.slo_class()};
  if (asked.ttft_target != absl::InfiniteDuration()) {
    traffic.targets.ttft = asked.ttft_target + waited;
  }
  if (asked.tpot_target != absl::InfiniteDuration()) traffic.targets.tpot = asked.tpot_target;
  if (!asked.prefixes.empty()) traffic.prefixes = std::move(asked.prefixes.front());
  if (route.ok()) {
    traffic.id = RequestId(route->request_id());
  } else {
    traffic.outcome.kind = TrafficOutcome::Kind::kFailed;
  }
  return traffic;
}

TrafficOutcome ToOutcome(const v1::RequestReport& report) {
  TrafficOutcome outcome;
  switch (report.outcome()) {
    case v1::RequestReport::SERVED:
      outcome.kind = TrafficOutcome::Kind::kServed;
      break;
    case v1::RequestReport::FAILED:
      outcome.kind = TrafficOutcome::Kind::kFailed;
      break;
    default:
      outcome.kind = TrafficOutcome::Kind::kCancelled;
  }
  outcome.output_tokens = report.output_tokens();
  outcome.cached_tokens = report.cached_tokens();
  outcome.ttft = absl::Milliseconds(report.ttft_ms());
  outcome.tpot = absl::Milliseconds(report.tpot_ms());
  return outcome;
}

v1::RoleCounts ToProto(const ClusterPlacement& placement) {
  v1::RoleCounts counts;
  counts.set_prefill(placement.num_prefill);
  counts.set_decode(placement.num_decode);
  counts.set_mixed(placement.num_mixed);
  return counts;
}

ClusterPlacement ToPlacement(const v1::RoleCounts& counts) {
  return {
      .num_prefill = counts.prefill(), .num_decode = counts.decode(), .num_mixed = counts.mixed()};
}

v1::TrafficReport ToProto(const TrafficSummary& summary) {
  v1::TrafficReport report;
  report.set_seconds(absl::ToDoubleSeconds(summary.length));
  report.set_requests(summary.num_requests);
  report.set_rate(summary.rate.mean);
  report.set_prompt_tokens(summary.prompt_tokens.mean);
  report.set_output_tokens(summary.output_tokens.mean);
  report.set_cached_share(summary.num_ended > 0 ? 1 - summary.uncached_share.mean : 0);
  return report;
}

v1::ServiceReport ToProto(const ServiceLevel& level) {
  v1::ServiceReport report;
  report.set_requests(level.num_requests);
  report.set_unserved(level.num_unserved);
  report.set_attainment(level.attainment);
  report.set_goodput(level.goodput);
  *report.mutable_ttft_ms() = ToProto(level.ttft_ms);
  *report.mutable_tpot_ms() = ToProto(level.tpot_ms);
  return report;
}

v1::PlanDecision ToProto(const ReplanDecision& decision) {
  v1::PlanDecision message;
  message.set_unix_ms(absl::ToUnixMillis(decision.time));
  message.set_trigger(decision.trigger);
  message.set_reason(decision.reason);
  *message.mutable_present() = ToProto(decision.present);
  *message.mutable_chosen() = ToProto(decision.chosen);
  *message.mutable_wanted() = ToProto(decision.wanted);
  for (const ScoredPlacement& candidate : decision.candidates) {
    *message.add_candidates() = ToProto(candidate);
  }
  for (const RoleSwitch& change : decision.switches) {
    v1::RoleChange& added = *message.add_switches();
    added.set_instance_id(change.id.value());
    added.set_from(ToProto(change.from));
    added.set_to(ToProto(change.to));
  }
  return message;
}

}  // namespace tandem
