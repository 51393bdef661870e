#include "server/controller/scheduler_service.h"

#include <memory>
#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "server/controller/live_profile.h"
#include "server/grpc_status.h"

namespace tandem {
namespace {

// After a restart, the time that the cluster's workers have to register again.
constexpr absl::Duration kRegistrationTime = absl::Seconds(3);

grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext* context, const grpc::Status& status) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(status);
  return reactor;
}

// One worker's heartbeats. When the stream ends, for whatever reason, the worker is taken out
// unless it has another one.
class HeartbeatCall : public grpc::ServerBidiReactor<v1::HeartbeatRequest, v1::HeartbeatResponse> {
 public:
  explicit HeartbeatCall(Cluster* cluster) : cluster_(cluster), stream_(cluster->OpenStream()) {
    StartRead(&beat_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::OK);
    instance_id_ = beat_.instance_id();
    epoch_ = beat_.epoch();
    const absl::Status status = cluster_->Heartbeat(stream_, beat_, absl::Now());
    if (!status.ok()) return Finish(ToGrpc(status));
    StartRead(&beat_);
  }

  void OnDone() override {
    cluster_->Leave(stream_, instance_id_, epoch_);
    delete this;
  }

 private:
  Cluster* const cluster_;
  const StreamId stream_;
  v1::HeartbeatRequest beat_;
  std::string instance_id_;
  uint64_t epoch_ = 0;
};

}  // namespace

// One watcher: always sent the newest state, skipping what it was too slow for.
class WatchCall : public grpc::ServerWriteReactor<v1::ClusterState> {
 public:
  explicit WatchCall(SchedulerService* service) : service_(service) {}

  void Send() {
    absl::MutexLock lock(&mutex_);
    if (finished_) return;
    if (writing_) {
      stale_ = true;
      return;
    }
    writing_ = true;
    state_ = service_->State();
    StartWrite(&state_);
  }

  void OnWriteDone(bool ok) override {
    {
      absl::MutexLock lock(&mutex_);
      writing_ = false;
      if (!ok) return FinishLocked();
      if (!std::exchange(stale_, false)) return;
    }
    Send();
  }

  void OnCancel() override {
    absl::MutexLock lock(&mutex_);
    FinishLocked();
  }

  void OnDone() override {
    service_->Forget(this);
    delete this;
  }

 private:
  void FinishLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (!std::exchange(finished_, true)) Finish(grpc::Status::CANCELLED);
  }

  SchedulerService* const service_;
  absl::Mutex mutex_;
  v1::ClusterState state_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool stale_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
};

SchedulerService::SchedulerService(Cluster* cluster, Planning* planning, absl::Duration heartbeat)
    : cluster_(cluster), planning_(planning), heartbeat_(heartbeat), started_(absl::Now()) {}

v1::ClusterState SchedulerService::State() const {
  v1::ClusterState state = cluster_->State();
  *state.mutable_plan() = planning_->Counters();
  return state;
}

grpc::ServerUnaryReactor* SchedulerService::Register(grpc::CallbackServerContext* context,
                                                     const v1::RegisterRequest* request,
                                                     v1::RegisterResponse* response) {
  const absl::Status status = cluster_->Register(*request, absl::Now());
  response->set_heartbeat_ms(static_cast<int32_t>(absl::ToInt64Milliseconds(heartbeat_)));
  return Answer(context, ToGrpc(status));
}

grpc::ServerBidiReactor<v1::HeartbeatRequest, v1::HeartbeatResponse>* SchedulerService::Heartbeat(
    grpc::CallbackServerContext* context) {
  return new HeartbeatCall(cluster_);
}

absl::StatusOr<v1::RouteResponse> SchedulerService::Route(const v1::RouteRequest& request) {
  const absl::Time now = absl::Now();
  absl::StatusOr<v1::RouteResponse> decision = cluster_->Route(request, now);
  const bool lacks_workers =
      decision.ok() ? !decision->fallback().empty() : absl::IsUnavailable(decision.status());
  if (lacks_workers && now < started_ + kRegistrationTime) {
    if (decision.ok()) cluster_->Complete(decision->request_id());
    return absl::AbortedError("the scheduler has just started; ask again");
  }
  planning_->Arrive(request, decision, now);
  return decision;
}

void SchedulerService::Complete(const v1::CompleteRequest& request) {
  cluster_->Complete(request.request_id());
  planning_->End(request);
}

grpc::ServerUnaryReactor* SchedulerService::Route(grpc::CallbackServerContext* context,
                                                  const v1::RouteRequest* request,
                                                  v1::RouteResponse* response) {
  absl::StatusOr<v1::RouteResponse> decision = Route(*request);
  if (decision.ok()) *response = *std::move(decision);
  return Answer(context, ToGrpc(decision.status()));
}

grpc::ServerUnaryReactor* SchedulerService::Complete(grpc::CallbackServerContext* context,
                                                     const v1::CompleteRequest* request,
                                                     v1::CompleteResponse* response) {
  Complete(*request);
  return Answer(context, grpc::Status::OK);
}

grpc::ServerUnaryReactor* SchedulerService::GetPlan(grpc::CallbackServerContext* context,
                                                    const v1::GetPlanRequest* request,
                                                    v1::Plan* response) {
  *response = planning_->Show(absl::Now());
  return Answer(context, grpc::Status::OK);
}

grpc::ServerUnaryReactor* SchedulerService::WhatIf(grpc::CallbackServerContext* context,
                                                   const v1::WhatIfRequest* request,
                                                   v1::WhatIfResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  planning_->WhatIf(*request, [reactor, response](absl::StatusOr<v1::WhatIfResponse> answer) {
    const grpc::Status status = ToGrpc(answer.status());
    if (answer.ok()) *response = *std::move(answer);
    reactor->Finish(status);
  });
  return reactor;
}

grpc::ServerUnaryReactor* SchedulerService::GetProfile(grpc::CallbackServerContext* context,
                                                       const v1::GetProfileRequest* request,
                                                       v1::GetProfileResponse* response) {
  const absl::StatusOr<Profile> profile =
      LiveProfile(cluster_->State(), request->has_path() ? &request->path() : nullptr);
  if (profile.ok()) response->set_json(ProfileJson(*profile).dump(1));
  return Answer(context, ToGrpc(profile.status()));
}

grpc::ServerWriteReactor<v1::ClusterState>* SchedulerService::Watch(
    grpc::CallbackServerContext* context, const v1::WatchRequest* request) {
  auto* call = new WatchCall(this);
  {
    absl::MutexLock lock(&mutex_);
    watchers_.insert(call);
  }
  call->Send();
  return call;
}

void SchedulerService::NotifyWatchers() {
  absl::MutexLock lock(&mutex_);
  for (WatchCall* watcher : watchers_) watcher->Send();
}

void SchedulerService::Forget(WatchCall* call) {
  absl::MutexLock lock(&mutex_);
  watchers_.erase(call);
}

}  // namespace tandem
