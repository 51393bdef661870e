// The cluster as the scheduler process knows it: the Router behind a lock, with what watchers are
// told.
#pragma once

#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "proto/scheduler.pb.h"
#include "scheduler/planner/planned_instance.h"
#include "scheduler/replay/logged_router.h"

namespace tandem {

// Thread-safe; every call but AwaitRole is short.
class Cluster {
 public:
  // The Router's log goes to `event_log`, if there is one, under the lock.
  explicit Cluster(const RouterOptions& options, LineSink event_log = nullptr)
      : router_(options, std::move(event_log)) {}

  // FAILED_PRECONDITION: its model is not the one the cluster serves, or its KV fits no peer; says
  // why.
  absl::Status Register(const v1::RegisterRequest& registration, absl::Time now);

  // NOT_FOUND: this epoch is not registered.
  absl::Status Heartbeat(const v1::HeartbeatRequest& beat, absl::Time now);

  // The heartbeat stream of this epoch has ended: the worker is gone.
  void Leave(const std::string& instance_id, uint64_t epoch);

  absl::StatusOr<v1::RouteResponse> Route(const v1::RouteRequest& request, absl::Time now);
  void Complete(uint64_t request_id);

  // Takes out workers whose heartbeats have stopped.
  void Tick(absl::Time now);

  v1::ClusterState State() const;

  // Those that take new requests, by id.
  std::vector<PlannedInstance> PlannedInstances() const;

  // Waits until the worker has told that it has its new role. False: it has not within `timeout`,
  // or is gone, or `stop` was asked for.
  bool AwaitRole(const RoleSwitch& change, absl::Duration timeout, std::stop_token stop) const;

 private:
  absl::Status CheckFits(const v1::RegisterRequest& registration) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable absl::Mutex mutex_;
  LoggedRouter router_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, v1::InstanceState> instances_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tandem
