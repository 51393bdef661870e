// The cluster as the scheduler process knows it: the Router behind a lock, with what watchers are
// told.
#pragma once

#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "engine/core/ids.h"
#include "proto/scheduler.pb.h"
#include "scheduler/planner/planned_instance.h"
#include "scheduler/replay/logged_router.h"

namespace tandem {

// One heartbeat stream, in the order in which they were opened.
using StreamId = StrongId<struct StreamIdTag, uint64_t>;

// Thread-safe; every call but AwaitRole is short.
class Cluster {
 public:
  // The Router's log goes to `event_log`, if there is one, under the lock.
  explicit Cluster(const RouterOptions& options, LineSink event_log = nullptr)
      : heartbeat_timeout_(options.heartbeat_timeout), router_(options, std::move(event_log)) {}

  // FAILED_PRECONDITION: its model is not the one the cluster serves, or its KV fits no peer; says
  // why.
  absl::Status Register(const v1::RegisterRequest& registration, absl::Time now);

  // Of a stream that begins now.
  StreamId OpenStream();

  // A beat that came over `stream`. NOT_FOUND: this epoch is not registered. ABORTED: since the
  // stream was opened the worker has registered again, or has beaten over a later one.
  absl::Status Heartbeat(StreamId stream, const v1::HeartbeatRequest& beat, absl::Time now);

  // The stream has ended, whose last beat was of this epoch. The worker is gone if that was the
  // last stream it has beaten over: it may live on over another, while the end of a broken
  // connection is heard of late.
  void Leave(StreamId stream, const std::string& instance_id, uint64_t epoch);

  absl::StatusOr<v1::RouteResponse> Route(const v1::RouteRequest& request, absl::Time now);
  void Complete(uint64_t request_id);

  // Takes out workers whose heartbeats have stopped. To be called several times within the
  // heartbeat time-out: where a call comes later, it is this process that was silent (paused, or
  // its clock was set), so workers get that time once more.
  void Tick(absl::Time now);

  v1::ClusterState State() const;

  // Those that take new requests, by id.
  std::vector<PlannedInstance> PlannedInstances() const;

  // Waits until the worker has told that it has its new role. False: it has not within `timeout`,
  // or is gone, or `stop` was asked for.
  bool AwaitRole(const RoleSwitch& change, absl::Duration timeout, std::stop_token stop);

 private:
  struct Member {
    v1::InstanceState state;
    StreamId stream;  // earlier ones do not count any more
  };

  // Null where this epoch is not registered.
  Member* Find(const std::string& instance_id, uint64_t epoch)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status CheckFits(const v1::RegisterRequest& registration) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const absl::Duration heartbeat_timeout_;

  mutable absl::Mutex mutex_;
  LoggedRouter router_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, Member> members_ ABSL_GUARDED_BY(mutex_);  // by instance id
  uint64_t num_streams_ ABSL_GUARDED_BY(mutex_) = 0;
  std::optional<absl::Time> last_tick_ ABSL_GUARDED_BY(mutex_);
  absl::Time patient_until_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
};

}  // namespace tandem
