#include "server/gateway/metrics.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "prometheus/text_serializer.h"
#include "server/gateway/cluster_metrics.h"

namespace tandem {
namespace {

using prometheus::Histogram;

// Bucket bounds in seconds are those of the names that dashboards know, so that plots line up.
const Histogram::BucketBoundaries& FirstTokenBuckets() {
  static const auto* const kBuckets = new Histogram::BucketBoundaries{
      0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75,
      1,     2.5,   5,    7.5,  10,   20,   40,   80,  160,  640, 2560};
  return *kBuckets;
}

const Histogram::BucketBoundaries& TokenBuckets() {
  static const auto* const kBuckets =
      new Histogram::BucketBoundaries{0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5,
                                      0.75, 1,     2.5,  5,     7.5, 10,   20,  40,  80};
  return *kBuckets;
}

const Histogram::BucketBoundaries& RequestBuckets() {
  static const auto* const kBuckets = new Histogram::BucketBoundaries{
      0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680};
  return *kBuckets;
}

Histogram& MakeHistogram(prometheus::Registry& registry, const char* name, const char* help,
                         const Histogram::BucketBoundaries& buckets) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(registry).Add({}, buckets);
}

const Histogram::BucketBoundaries& StageBuckets() {
  static const auto* const kBuckets =
      new Histogram::BucketBoundaries{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
                                      0.05,   0.1,     0.25,   0.5,   1,      2.5,   5,    10};
  return *kBuckets;
}

void ObserveStages(prometheus::Family<Histogram>& family, const Stages& stages) {
  for (const Stage& stage : stages) {
    family.Add({{"stage", std::string(stage.name)}}, StageBuckets())
        .Observe(absl::ToDoubleSeconds(stage.time));
  }
}

// In milliseconds, and of how many samples.
struct Mean {
  double mean_ms = 0;
  int64_t count = 0;
};
Mean MeanOf(const Histogram& histogram) {
  const prometheus::ClientMetric::Histogram all = histogram.Collect().histogram;
  if (all.sample_count == 0) return {};
  return {.mean_ms = 1000 * all.sample_sum / static_cast<double>(all.sample_count),
          .count = static_cast<int64_t>(all.sample_count)};
}

prometheus::Family<prometheus::Counter>& MakeCounters(prometheus::Registry& registry,
                                                      const char* name, const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
}

}  // namespace

Metrics::Metrics()
    : time_to_first_token_(MakeHistogram(registry_, "tandem_time_to_first_token_seconds",
                                         "Arrival of a request to its first token.",
                                         FirstTokenBuckets())),
      first_token_stages_(prometheus::BuildHistogram()
                              .Name("tandem_ttft_stage_seconds")
                              .Help("What the time to first token is made of, stage by stage.")
                              .Register(registry_)),
      gateway_overhead_(MakeHistogram(
          registry_, "tandem_gateway_overhead_seconds",
          "What the gateway adds to the time to first token: its stages ingress, route and "
          "detokenize together.",
          StageBuckets())),
      second_token_stages_(
          prometheus::BuildHistogram()
              .Name("tandem_second_token_stage_seconds")
              .Help("What the time from first to second token is made of, stage by stage.")
              .Register(registry_)),
      handoff_exposed_(MakeHistogram(
          registry_, "tandem_handoff_exposed_seconds",
          "First token to all KV on the decode worker, of samples that went over two workers.",
          StageBuckets())),
      inter_token_latency_(MakeHistogram(registry_, "tandem_inter_token_latency_seconds",
                                         "Gaps between successive tokens of a sample.",
                                         TokenBuckets())),
      time_per_output_token_(
          MakeHistogram(registry_, "tandem_request_time_per_output_token_seconds",
                        "Mean gap between the tokens of a request.", TokenBuckets())),
      end_to_end_latency_(MakeHistogram(registry_, "tandem_e2e_request_latency_seconds",
                                        "Arrival of a request to its end.", RequestBuckets())),
      requests_(MakeCounters(registry_, "tandem_requests_total", "Requests by how they ended.")),
      fallbacks_(MakeCounters(registry_, "tandem_fallback_total",
                              "Samples that were not served the way they were routed.")),
      slo_requests_(MakeCounters(registry_, "tandem_slo_requests_total",
                                 "Requests by class and by whether they were answered within "
                                 "their targets; failed and shed ones were not, nor those given "
                                 "up while a late first token was waited for.")),
      slo_misses_(MakeCounters(registry_, "tandem_slo_missed_total",
                               "Requests that were not answered within their targets, by why: a "
                               "late first token, late further ones, or both; or no answer.")),
      prompt_tokens_(MakeCounters(registry_, "tandem_prompt_tokens_total",
                                  "Prompt tokens of finished requests.")
                         .Add({})),
      cached_tokens_(MakeCounters(registry_, "tandem_prompt_tokens_cached_total",
                                  "Prompt tokens that a prefix cache had.")
                         .Add({})),
      generated_tokens_(MakeCounters(registry_, "tandem_generation_tokens_total",
                                     "Tokens generated for finished requests.")
                            .Add({})),
      active_requests_(prometheus::BuildGauge()
                           .Name("tandem_gateway_requests")
                           .Help("Requests that this gateway has accepted and not answered.")
                           .Register(registry_)
                           .Add({})) {
  // Series exist from the start, so that a rate over them is right from the first event on.
  for (const char* outcome :
       {"stop", "length", "rejected", "shed", "unavailable", "cancelled", "failed"}) {
    requests_.Add({{"outcome", outcome}});
  }
  for (const char* reason : {"recomputed", "migrated", "inexact", "no_prefill_worker"}) {
    fallbacks_.Add({{"reason", reason}});
  }
}

void Metrics::AddSloClass(const std::string& label) {
  for (const char* met : {"true", "false"}) slo_requests_.Add({{"slo_class", label}, {"met", met}});
  for (const char* cause : {"ttft", "tpot", "failed", "shed"}) {
    slo_misses_.Add({{"slo_class", label}, {"cause", cause}});
  }
}

void Metrics::CountSlo(const RequestOutcome& outcome) {
  const bool is_given_up = outcome.outcome == "cancelled";
  if (outcome.outcome == "rejected" || (is_given_up && !outcome.missed_ttft)) return;
  const auto miss = [&](const char* cause) {
    slo_misses_.Add({{"slo_class", outcome.slo_class}, {"cause", cause}}).Increment();
  };
  const bool is_answered = outcome.outcome == "stop" || outcome.outcome == "length";
  if (!is_answered && !is_given_up) miss(outcome.outcome == "shed" ? "shed" : "failed");
  if ((is_answered || is_given_up) && outcome.missed_ttft) miss("ttft");
  if (is_answered && outcome.missed_tpot) miss("tpot");
  const bool is_met = is_answered && !outcome.missed_ttft && !outcome.missed_tpot;
  slo_requests_.Add({{"slo_class", outcome.slo_class}, {"met", is_met ? "true" : "false"}})
      .Increment();
}

void Metrics::ObserveFirstToken(absl::Duration ttft, const Stages& stages) {
  time_to_first_token_.Observe(absl::ToDoubleSeconds(ttft));
  ObserveStages(first_token_stages_, stages);
  absl::Duration overhead;
  for (const Stage& stage : stages) {
    if (stage.name == "ingress" || stage.name == "route" || stage.name == "detokenize") {
      overhead += stage.time;
    }
  }
  if (!stages.empty()) gateway_overhead_.Observe(absl::ToDoubleSeconds(overhead));
}

void Metrics::ObserveSecondToken(const Stages& stages, bool is_handed_off) {
  ObserveStages(second_token_stages_, stages);
  for (const Stage& stage : stages) {
    if (!is_handed_off || stage.name != "kv_exposed") continue;
    handoff_exposed_.Observe(absl::ToDoubleSeconds(std::max(stage.time, absl::ZeroDuration())));
  }
}

void Metrics::ObserveInterTokenGap(absl::Duration gap) {
  inter_token_latency_.Observe(absl::ToDoubleSeconds(gap));
}

void Metrics::ObserveRequest(const RequestOutcome& outcome) {
  requests_.Add({{"outcome", outcome.outcome}}).Increment();
  CountSlo(outcome);
  prompt_tokens_.Increment(outcome.num_prompt_tokens);
  cached_tokens_.Increment(outcome.num_cached_tokens);
  generated_tokens_.Increment(outcome.num_completion_tokens);
  if (outcome.outcome != "stop" && outcome.outcome != "length") return;
  end_to_end_latency_.Observe(absl::ToDoubleSeconds(outcome.end_to_end));
  if (outcome.tpot > absl::ZeroDuration()) {
    time_per_output_token_.Observe(absl::ToDoubleSeconds(outcome.tpot));
  }
}

std::optional<v1::RequestPath> Metrics::MeanPath() const {
  const auto mean_of = [this](const char* stage) {
    return MeanOf(first_token_stages_.Add({{"stage", stage}}, StageBuckets()));
  };
  const Mean ingress = mean_of("ingress");
  if (ingress.count == 0) return std::nullopt;
  v1::RequestPath path;
  path.set_requests(ingress.count);
  path.set_ingress_ms(ingress.mean_ms);
  path.set_route_ms(mean_of("route").mean_ms);
  path.set_network_ms(mean_of("network").mean_ms);
  path.set_detokenize_ms(mean_of("detokenize").mean_ms);
  const Mean exposed = MeanOf(handoff_exposed_);
  path.set_kv_exposed_ms(exposed.mean_ms);
  path.set_handoffs(exposed.count);
  return path;
}

void Metrics::CountFallback(absl::string_view reason) {
  fallbacks_.Add({{"reason", std::string(reason)}}).Increment();
}

void Metrics::SetActiveRequests(int num_requests) { active_requests_.Set(num_requests); }

std::string Metrics::Render(const v1::ClusterState& cluster) const {
  std::vector<prometheus::MetricFamily> families = registry_.Collect();
  for (prometheus::MetricFamily& family : ClusterMetrics(cluster)) {
    families.push_back(std::move(family));
  }
  return prometheus::TextSerializer().Serialize(families);
}

std::string OutcomeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kUnauthenticated:
      return "rejected";
    case absl::StatusCode::kResourceExhausted:
      return "shed";
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return "unavailable";
    case absl::StatusCode::kCancelled:
      return "cancelled";
    default:
      return "failed";
  }
}

}  // namespace tandem
