// Planning over HTTP: what the scheduler has decided about roles, what another placement or other
// targets would have made of the recent traffic, and the cluster's profile for simulations
// elsewhere.
#pragma once

#include "absl/status/status.h"
#include "server/gateway/cluster_clients.h"
#include "server/gateway/http_router.h"
#include "server/gateway/metrics.h"

namespace tandem {

// Thread-safe: every call runs on its exchange's strand. The references outlive it.
class PlanEndpoints {
 public:
  PlanEndpoints(SchedulerClient& scheduler, const Metrics& metrics)
      : scheduler_(scheduler), metrics_(metrics) {}

  // GET /admin/v1/plan, GET /admin/v1/profile and POST /admin/v1/whatif. This outlives `router`.
  void AddTo(HttpRouter& router);

 private:
  void ShowPlan(const HttpCall& call) const;
  void ShowProfile(const HttpCall& call) const;
  absl::Status AnswerWhatIf(const HttpCall& call) const;

  SchedulerClient& scheduler_;
  const Metrics& metrics_;
};

}  // namespace tandem
