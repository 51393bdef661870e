#include "server/gateway/cluster_endpoints.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "server/gateway/cluster_metrics.h"
#include "server/gateway/json_fields.h"

namespace tandem {
namespace {

Json InstanceJson(const v1::InstanceState& instance) {
  const v1::RegisterRequest& registration = instance.registration();
  const v1::WorkerStats& stats = instance.stats();
  return {{"name", registration.instance_id()},
          {"role", RoleName(registration.role())},
          {"epoch", absl::StrCat(absl::Hex(registration.epoch(), absl::kZeroPad16))},
          {"address", registration.address()},
          {"healthy", instance.healthy()},
          {"draining", instance.draining()},
          {"requests",
           {{"waiting", stats.waiting_requests()},
            {"running", stats.running_requests()},
            {"receiving", stats.receiving_requests()},
            {"leased", stats.leased_requests()}}},
          {"kv_blocks",
           {{"total", stats.blocks_total()},
            {"free", stats.blocks_free()},
            {"cached", stats.blocks_cached()}}}};
}

absl::StatusOr<v1::Role> ParseRole(const Json& body) {
  const auto field = body.find("role");
  if (field == body.end()) return InvalidField("role", "`role` is missing.");
  ASSIGN_OR_RETURN(const std::string name, AsString("role", *field));
  for (const v1::Role role : {v1::ROLE_PREFILL, v1::ROLE_DECODE, v1::ROLE_MIXED}) {
    if (name == RoleName(role)) return role;
  }
  return InvalidField("role",
                      absl::StrCat("`role` must be prefill, decode or mixed, got ", name, "."));
}

}  // namespace

void ClusterEndpoints::AddTo(HttpRouter& router) {
  router.Add("GET", "/cluster", HttpRouter::Access::kNeedsKey,
             [this](const HttpCall& call) { Show(call); });
  router.Add("POST", "/cluster/instances/*", HttpRouter::Access::kNeedsKey,
             [this](const HttpCall& call) {
               if (absl::Status status = SetRole(call); !status.ok()) call.RespondError(status);
             });
}

void ClusterEndpoints::Show(const HttpCall& call) const {
  const auto view = cluster_.view();
  Json instances = Json::array();
  for (const v1::InstanceState& instance : view->state.instances()) {
    instances.push_back(InstanceJson(instance));
  }
  call.RespondJson({{"servable", view->is_servable()}, {"instances", std::move(instances)}});
}

absl::Status ClusterEndpoints::SetRole(const HttpCall& call) const {
  ASSIGN_OR_RETURN(const Json body, ParseJsonObject(call.request().body));
  RETURN_IF_ERROR(CheckKnownFields(body, "", {"role"}));
  v1::SetRoleRequest request;
  ASSIGN_OR_RETURN(const v1::Role role, ParseRole(body));
  request.set_role(role);
  for (const v1::InstanceState& instance : cluster_.view()->state.instances()) {
    const v1::RegisterRequest& registration = instance.registration();
    if (registration.instance_id() != call.path_tail) continue;
    request.set_epoch(registration.epoch());
    workers_.SetRole(registration.address(), request, call.exchange->strand(),
                     [call, body](const absl::Status& status) {
                       if (!status.ok()) return call.RespondError(status);
                       call.RespondJson({{"name", call.path_tail}, {"role", body["role"]}});
                     });
    return absl::OkStatus();
  }
  return absl::NotFoundError(absl::StrCat("no instance is named ", call.path_tail));
}

}  // namespace tandem
