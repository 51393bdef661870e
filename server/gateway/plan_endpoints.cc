#include "server/gateway/plan_endpoints.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "server/gateway/plan_json.h"

namespace tandem {

void PlanEndpoints::AddTo(HttpRouter& router) {
  router.Add("GET", "/admin/v1/plan", HttpRouter::Access::kNeedsKey,
             [this](const HttpCall& call) { ShowPlan(call); });
  router.Add("GET", "/admin/v1/profile", HttpRouter::Access::kNeedsKey,
             [this](const HttpCall& call) { ShowProfile(call); });
  router.Add("POST", "/admin/v1/whatif", HttpRouter::Access::kNeedsKey,
             [this](const HttpCall& call) {
               const absl::Status status = AnswerWhatIf(call);
               if (!status.ok()) call.RespondError(status);
             });
}

void PlanEndpoints::ShowPlan(const HttpCall& call) const {
  scheduler_.GetPlan(call.exchange->strand(), [call](const absl::StatusOr<v1::Plan>& plan) {
    if (!plan.ok()) return call.RespondError(plan.status());
    call.RespondJson(PlanJson(*plan));
  });
}

void PlanEndpoints::ShowProfile(const HttpCall& call) const {
  v1::GetProfileRequest request;
  if (const auto path = metrics_.MeanPath()) *request.mutable_path() = *path;
  scheduler_.GetProfile(std::move(request), call.exchange->strand(),
                        [call](const absl::StatusOr<v1::GetProfileResponse>& profile) {
                          if (!profile.ok()) return call.RespondError(profile.status());
                          call.Respond({.body = absl::StrCat(profile->json(), "\n")});
                        });
}

absl::Status PlanEndpoints::AnswerWhatIf(const HttpCall& call) const {
  ASSIGN_OR_RETURN(const Json body, ParseJsonObject(call.request().body));
  ASSIGN_OR_RETURN(v1::WhatIfRequest request, ParseWhatIf(body));
  scheduler_.WhatIf(std::move(request), call.exchange->strand(),
                    [call](const absl::StatusOr<v1::WhatIfResponse>& answer) {
                      if (!answer.ok()) return call.RespondError(answer.status());
                      call.RespondJson(WhatIfJson(*answer));
                    });
  return absl::OkStatus();
}

}  // namespace tandem
