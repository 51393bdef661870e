#include "server/controller/cluster.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/core/log.h"
#include "engine/core/status_macros.h"
#include "server/controller/cluster_messages.h"

namespace tandem {

absl::Status Cluster::CheckFits(const v1::RegisterRequest& registration) const {
  if (registration.instance_id().empty()) return absl::InvalidArgumentError("instance_id is empty");
  if (registration.layout().version() != KvLayout::kVersion) {
    return absl::FailedPreconditionError(absl::StrCat(
        "KV layout version ", registration.layout().version(), ", expected ", KvLayout::kVersion));
  }
  for (const auto& [id, peer] : instances_) {
    const v1::ModelFingerprint& theirs = peer.registration().model();
    if (id == registration.instance_id()) continue;
    if (theirs.content_hash() != registration.model().content_hash()) {
      return absl::FailedPreconditionError(absl::StrCat("model \"", registration.model().name(),
                                                        "\" is not the same file as \"",
                                                        theirs.name(), "\" of ", id));
    }
  }
  return absl::OkStatus();
}

absl::Status Cluster::Register(const v1::RegisterRequest& registration, absl::Time now) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(CheckFits(registration));
  v1::InstanceState state;
  *state.mutable_registration() = registration;
  state.mutable_stats()->set_blocks_total(registration.blocks_total());
  state.mutable_stats()->set_blocks_free(registration.blocks_total());
  state.set_healthy(true);
  ASSIGN_OR_RETURN(const InstanceView view, ToView(state));
  router_.Update(view, now);
  instances_[registration.instance_id()] = std::move(state);
  LOG(INFO) << "joined instance=" << registration.instance_id()
            << " address=" << registration.address() << " epoch=" << registration.epoch();
  return absl::OkStatus();
}

absl::Status Cluster::Heartbeat(const v1::HeartbeatRequest& beat, absl::Time now) {
  absl::MutexLock lock(&mutex_);
  const auto it = instances_.find(beat.instance_id());
  if (it == instances_.end() || it->second.registration().epoch() != beat.epoch()) {
    return absl::NotFoundError(absl::StrCat("instance ", beat.instance_id(), " with epoch ",
                                            beat.epoch(), " is not registered"));
  }
  v1::InstanceState& state = it->second;
  *state.mutable_stats() = beat.stats();
  state.set_healthy(beat.stats().healthy());
  state.set_draining(beat.draining());
  if (beat.role() != v1::ROLE_UNSPECIFIED && beat.role() != state.registration().role()) {
    ASSIGN_OR_RETURN(const InstanceRole role, ToRole(beat.role()));
    LOG(INFO) << "instance=" << beat.instance_id() << " role=" << InstanceRoleName(role)
              << " from now on";
    state.mutable_registration()->set_role(beat.role());
  }
  ASSIGN_OR_RETURN(const InstanceView view, ToView(state));
  router_.Update(view, now);
  if (beat.has_prefixes()) {
    const auto& added = beat.prefixes().added();
    const auto& removed = beat.prefixes().removed();
    router_.UpdatePrefixes(view.id, {.restart = beat.prefixes().restart(),
                                     .added = {added.begin(), added.end()},
                                     .removed = {removed.begin(), removed.end()}});
  }
  return absl::OkStatus();
}

void Cluster::Leave(const std::string& instance_id, uint64_t epoch) {
  absl::MutexLock lock(&mutex_);
  const auto it = instances_.find(instance_id);
  if (it == instances_.end() || it->second.registration().epoch() != epoch) return;
  if (it->second.draining()) {
    LOG(INFO) << "left instance=" << instance_id << " epoch=" << epoch;
  } else {
    LOG(WARNING) << "lost instance=" << instance_id << " epoch=" << epoch
                 << ": its heartbeats have ended";
  }
  router_.Remove(InstanceId(instance_id));
  instances_.erase(it);
}

absl::StatusOr<v1::RouteResponse> Cluster::Route(const v1::RouteRequest& request, absl::Time now) {
  const RouteRequest wanted = FromProto(request);
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(const RouteDecision decision, router_.Route(wanted, now));
  v1::RouteResponse response;
  response.set_request_id(decision.request.value());
  response.set_attempt(decision.attempt);
  if (decision.prefill) *response.mutable_prefill() = ToTarget(*decision.prefill);
  *response.mutable_decode() = ToTarget(decision.decode);
  response.set_fallback(decision.fallback);
  response.set_numerics(decision.numerics);
  response.set_inexact(decision.inexact);
  response.set_ttft_ms(absl::ToDoubleMilliseconds(decision.ttft));
  response.set_tpot_ms(absl::ToDoubleMilliseconds(decision.tpot));
  return response;
}

void Cluster::Complete(uint64_t request_id) {
  absl::MutexLock lock(&mutex_);
  router_.Complete(RequestId(request_id));
}

void Cluster::Tick(absl::Time now) {
  absl::MutexLock lock(&mutex_);
  for (const InstanceId& id : router_.Tick(now)) {
    LOG(WARNING) << "no heartbeat from instance=" << id << ": taken out";
    instances_.erase(id.value());
  }
}

std::vector<PlannedInstance> Cluster::PlannedInstances() const {
  absl::MutexLock lock(&mutex_);
  std::vector<PlannedInstance> planned;
  for (const auto& [id, state] : instances_) {
    absl::StatusOr<InstanceView> view = ToView(state);
    if (!view.ok() || !view->healthy || view->draining) continue;
    planned.push_back({*std::move(view), ToBudgets(state.registration())});
  }
  return planned;
}

bool Cluster::AwaitRole(const RoleSwitch& change, absl::Duration timeout,
                        std::stop_token stop) const {
  // Who unlocks a mutex looks at what others wait for. Outlives the lock below, which it takes.
  const std::stop_callback on_stop(stop, [this] { absl::MutexLock lock(&mutex_); });
  const auto is_over = [this, &change, &stop]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (stop.stop_requested()) return true;
    const auto found = instances_.find(change.id.value());
    return found == instances_.end() || found->second.registration().epoch() != change.epoch ||
           found->second.registration().role() == ToProto(change.to);
  };
  absl::MutexLock lock(&mutex_);
  mutex_.AwaitWithTimeout(absl::Condition(&is_over), timeout);
  const auto found = instances_.find(change.id.value());
  return found != instances_.end() && found->second.registration().epoch() == change.epoch &&
         found->second.registration().role() == ToProto(change.to);
}

v1::ClusterState Cluster::State() const {
  absl::MutexLock lock(&mutex_);
  v1::ClusterState state;
  for (const auto& [id, instance] : instances_) *state.add_instances() = instance;
  const absl::Status servable = router_.CheckServable();
  state.set_servable(servable.ok());
  state.set_not_servable_reason(std::string(servable.message()));
  return state;
}

}  // namespace tandem
