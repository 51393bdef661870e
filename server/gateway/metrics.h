// What the gateway measures, in Prometheus' text format. Labels are bounded: instances, roles,
// states and outcomes, never anything a client chooses.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "prometheus/counter.h"
#include "prometheus/family.h"
#include "prometheus/gauge.h"
#include "prometheus/histogram.h"
#include "prometheus/registry.h"
#include "proto/scheduler.pb.h"
#include "server/gateway/stage_timer.h"

namespace tandem {

// Thread-safe.
class Metrics {
 public:
  Metrics();

  // Of a sample, with their stages where these are known.
  void ObserveFirstToken(absl::Duration ttft, const Stages& stages);
  void ObserveSecondToken(const Stages& stages, bool is_handed_off);
  void ObserveInterTokenGap(absl::Duration gap);

  struct RequestOutcome {
    std::string outcome;  // OutcomeOf() below, or "stop", "length"
    absl::Duration end_to_end = absl::ZeroDuration();
    absl::Duration tpot = absl::ZeroDuration();  // zero: fewer than two tokens
    int num_prompt_tokens = 0;
    int num_cached_tokens = 0;
    int num_completion_tokens = 0;
    std::string slo_class = "none";  // Slo::label
    // Of an answer that is complete, and the first also of one that its client gave up.
    bool missed_ttft = false;
    bool missed_tpot = false;
  };
  void ObserveRequest(const RequestOutcome& outcome);
  // Its series exist from now on.
  void AddSloClass(const std::string& label);
  // A request that was not served the way it was routed, such as "recomputed".
  void CountFallback(absl::string_view reason);
  void SetActiveRequests(int num_requests);

  // Means over all samples with stages; nothing where there were none.
  std::optional<v1::RequestPath> MeanPath() const;

  // Prometheus text: what was observed, and the workers' own numbers as of `cluster`.
  std::string Render(const v1::ClusterState& cluster) const;

 private:
  // Goodput: requests that were answered within their targets, and why others were not. What the
  // client got wrong is neither, nor what it gave up before its first token was late.
  void CountSlo(const RequestOutcome& outcome);

  prometheus::Registry registry_;
  prometheus::Histogram& time_to_first_token_;
  prometheus::Family<prometheus::Histogram>& first_token_stages_;
  prometheus::Histogram& gateway_overhead_;
  prometheus::Family<prometheus::Histogram>& second_token_stages_;
  prometheus::Histogram& handoff_exposed_;
  prometheus::Histogram& inter_token_latency_;
  prometheus::Histogram& time_per_output_token_;
  prometheus::Histogram& end_to_end_latency_;
  prometheus::Family<prometheus::Counter>& requests_;
  prometheus::Family<prometheus::Counter>& fallbacks_;
  prometheus::Family<prometheus::Counter>& slo_requests_;
  prometheus::Family<prometheus::Counter>& slo_misses_;
  prometheus::Counter& prompt_tokens_;
  prometheus::Counter& cached_tokens_;
  prometheus::Counter& generated_tokens_;
  prometheus::Gauge& active_requests_;
};

// Label of a request that failed: "rejected" (the client's fault), "shed", "unavailable",
// "cancelled" (the client went) or "failed".
std::string OutcomeOf(const absl::Status& status);

}  // namespace tandem
