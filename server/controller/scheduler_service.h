// tandem.v1.Scheduler on the callback API.
#pragma once

#include <grpcpp/grpcpp.h>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "proto/scheduler.grpc.pb.h"
#include "server/controller/cluster.h"
#include "server/controller/planning.h"

namespace tandem {

class WatchCall;

class SchedulerService : public v1::Scheduler::CallbackService {
 public:
  // Both outlive it.
  SchedulerService(Cluster* cluster, Planning* planning, absl::Duration heartbeat);

  grpc::ServerUnaryReactor* Register(grpc::CallbackServerContext* context,
                                     const v1::RegisterRequest* request,
                                     v1::RegisterResponse* response) override;
  grpc::ServerBidiReactor<v1::HeartbeatRequest, v1::HeartbeatResponse>* Heartbeat(
      grpc::CallbackServerContext* context) override;
  grpc::ServerUnaryReactor* Route(grpc::CallbackServerContext* context,
                                  const v1::RouteRequest* request,
                                  v1::RouteResponse* response) override;
  grpc::ServerUnaryReactor* Complete(grpc::CallbackServerContext* context,
                                     const v1::CompleteRequest* request,
                                     v1::CompleteResponse* response) override;
  grpc::ServerUnaryReactor* GetPlan(grpc::CallbackServerContext* context,
                                    const v1::GetPlanRequest* request, v1::Plan* response) override;
  grpc::ServerUnaryReactor* WhatIf(grpc::CallbackServerContext* context,
                                   const v1::WhatIfRequest* request,
                                   v1::WhatIfResponse* response) override;
  grpc::ServerUnaryReactor* GetProfile(grpc::CallbackServerContext* context,
                                       const v1::GetProfileRequest* request,
                                       v1::GetProfileResponse* response) override;
  grpc::ServerWriteReactor<v1::ClusterState>* Watch(grpc::CallbackServerContext* context,
                                                    const v1::WatchRequest* request) override;

  // The calls of these names, for a gateway in this process. Thread-safe.
  absl::StatusOr<v1::RouteResponse> Route(const v1::RouteRequest& request);
  void Complete(const v1::CompleteRequest& request);

  // Sends the cluster's state to every watcher that is ready for it.
  void NotifyWatchers();

 private:
  friend class WatchCall;
  void Forget(WatchCall* call);
  v1::ClusterState State() const;

  Cluster* const cluster_;
  Planning* const planning_;
  const absl::Duration heartbeat_;
  const absl::Time started_;

  absl::Mutex mutex_;
  absl::flat_hash_set<WatchCall*> watchers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tandem
