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
  for (const auto& [id, peer] : members_) {
    const v1::ModelFingerprint& theirs = peer.state.registration().model();
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
  // Its heartbeats come over a stream that it opens after this.
  members_[registration.instance_id()] = {std::move(state), StreamId(num_streams_ + 1)};
  LOG(INFO) << "joined instance=" << registration.instance_id()
            << " address=" << registration.address() << " epoch=" << registration.epoch();
  return absl::OkStatus();
}

Cluster::Member* Cluster::Find(const std::string& instance_id, uint64_t epoch) {
  const auto found = members_.find(instance_id);
  if (found == members_.end()) return nullptr;
  return found->second.state.registration().epoch() == epoch ? &found->second : nullptr;
}

StreamId Cluster::OpenStream() {
  absl::MutexLock lock(&mutex_);
  return StreamId(++num_streams_);
}

absl::Status Cluster::Heartbeat(StreamId stream, const v1::HeartbeatRequest& beat, absl::Time now) {
  absl::MutexLock lock(&mutex_);
  Member* const member = Find(beat.instance_id(), beat.epoch());
  if (member == nullptr) {
    return absl::NotFoundError(absl::StrCat("instance ", beat.instance_id(), " with epoch ",
                                            beat.epoch(), " is not registered"));
  }
  if (stream < member->stream) {
    return absl::AbortedError(
        absl::StrCat("instance ", beat.instance_id(), " has a later stream of heartbeats"));
  }
  member->stream = stream;
  v1::InstanceState& state = member->state;
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

void Cluster::Leave(StreamId stream, const std::string& instance_id, uint64_t epoch) {
  absl::MutexLock lock(&mutex_);
  const Member* const member = Find(instance_id, epoch);
  if (member == nullptr || member->stream != stream) return;
  if (member->state.draining()) {
    LOG(INFO) << "left instance=" << instance_id << " epoch=" << epoch;
  } else {
    LOG(WARNING) << "lost instance=" << instance_id << " epoch=" << epoch
                 << ": its heartbeats have ended";
  }
  router_.Remove(InstanceId(instance_id));
  members_.erase(instance_id);
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
  const bool is_late = last_tick_ && now - *last_tick_ > heartbeat_timeout_ / 2;
  last_tick_ = now;
  if (is_late) {
    LOG(WARNING) << "the scheduler stood still, or its clock has jumped: waiting for heartbeats";
    patient_until_ = now + heartbeat_timeout_;
  }
  if (now < patient_until_) return;
  for (const InstanceId& id : router_.Tick(now)) {
    LOG(WARNING) << "no heartbeat from instance=" << id << ": taken out";
    members_.erase(id.value());
  }
}

std::vector<PlannedInstance> Cluster::PlannedInstances() const {
  absl::MutexLock lock(&mutex_);
  std::vector<PlannedInstance> planned;
  for (const auto& [id, member] : members_) {
    absl::StatusOr<InstanceView> view = ToView(member.state);
    if (!view.ok() || !view->healthy || view->draining) continue;
    planned.push_back({*std::move(view), ToBudgets(member.state.registration())});
  }
  return planned;
}

bool Cluster::AwaitRole(const RoleSwitch& change, absl::Duration timeout, std::stop_token stop) {
  // Who unlocks a mutex looks at what others wait for. Outlives the lock below, which it takes.
  const std::stop_callback on_stop(stop, [this] { absl::MutexLock lock(&mutex_); });
  const auto is_over = [this, &change, &stop]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (stop.stop_requested()) return true;
    const Member* const worker = Find(change.id.value(), change.epoch);
    return worker == nullptr || worker->state.registration().role() == ToProto(change.to);
  };
  absl::MutexLock lock(&mutex_);
  mutex_.AwaitWithTimeout(absl::Condition(&is_over), timeout);
  const Member* const worker = Find(change.id.value(), change.epoch);
  return worker != nullptr && worker->state.registration().role() == ToProto(change.to);
}

v1::ClusterState Cluster::State() const {
  absl::MutexLock lock(&mutex_);
  v1::ClusterState state;
  for (const auto& [id, member] : members_) *state.add_instances() = member.state;
  const absl::Status servable = router_.CheckServable();
  state.set_servable(servable.ok());
  state.set_not_servable_reason(std::string(servable.message()));
  return state;
}

}  // namespace tandem
