// Planning over HTTP: what the scheduler has decided about roles, and what another placement or
// other targets would have made of the recent traffic.
#pragma once

#include "absl/status/status.h"
#include "server/gateway/cluster_clients.h"
#include "server/gateway/http_router.h"

namespace tandem {

// Thread-safe: every call runs on its exchange's strand. `scheduler` outlives it.
class PlanEndpoints {
 public:
  explicit PlanEndpoints(SchedulerClient& scheduler) : scheduler_(scheduler) {}

  // GET /admin/v1/plan and POST /admin/v1/whatif. This outlives `router`.
  void AddTo(HttpRouter& router);

 private:
  void ShowPlan(const HttpCall& call) const;
  absl::Status AnswerWhatIf(const HttpCall& call) const;

  SchedulerClient& scheduler_;
};

}  // namespace tandem
