// Stubs of the scheduler and of workers.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "grpcpp/client_context.h"
#include "proto/scheduler.grpc.pb.h"
#include "proto/worker.grpc.pb.h"
#include "server/gateway/executor.h"
#include "server/gateway/local_scheduler.h"

namespace tandem {

// Counts calls that gRPC still knows of. The gateway ends after the last of them: a call keeps its
// channel, and gRPC 1.51 breaks when one of its own threads is the one to drop the last channel.
// Thread-safe.
class OpenCalls {
 public:
  // Part of a call; declared before the call's ClientContext, so that it is destroyed after it.
  class Entry {
   public:
    explicit Entry(OpenCalls& calls) : calls_(calls) { calls_.Add(1); }
    ~Entry() { calls_.Add(-1); }
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;

   private:
    OpenCalls& calls_;
  };

  // True if none was left before `timeout` had passed.
  bool WaitUntilNone(absl::Duration timeout);

 private:
  void Add(int count);

  absl::Mutex mutex_;
  int count_ ABSL_GUARDED_BY(mutex_) = 0;
};

// Asks the scheduler service. Thread-safe; calls never block.
class SchedulerClient {
 public:
  using OnRoute = absl::AnyInvocable<void(absl::StatusOr<v1::RouteResponse>)>;
  using OnPlan = absl::AnyInvocable<void(absl::StatusOr<v1::Plan>)>;
  using OnProfile = absl::AnyInvocable<void(absl::StatusOr<v1::GetProfileResponse>)>;
  using OnWhatIf = absl::AnyInvocable<void(absl::StatusOr<v1::WhatIfResponse>)>;

  // Route and Complete go to `local`, where there is one, all else through `channel`.
  SchedulerClient(std::shared_ptr<grpc::Channel> channel, std::optional<LocalScheduler> local,
                  OpenCalls& open_calls);

  // `on_route` runs once, on `strand`.
  void Route(v1::RouteRequest request, const std::shared_ptr<Strand>& strand, OnRoute on_route);

  // The request has left its workers. A lost message only leaves its load on the scheduler's books
  // until the worker's next statistics.
  void Complete(v1::CompleteRequest request);

  // `on_plan`, `on_answer` and `on_profile` run once, on `strand`.
  void GetPlan(const std::shared_ptr<Strand>& strand, OnPlan on_plan);
  void WhatIf(v1::WhatIfRequest request, const std::shared_ptr<Strand>& strand, OnWhatIf on_answer);
  void GetProfile(v1::GetProfileRequest request, const std::shared_ptr<Strand>& strand,
                  OnProfile on_profile);

  v1::Scheduler::Stub& stub() { return *stub_; }

 private:
  const std::unique_ptr<v1::Scheduler::Stub> stub_;
  const std::optional<LocalScheduler> local_;
  OpenCalls& open_calls_;
};

// One channel per worker address. Thread-safe.
class WorkerStubs {
 public:
  using OnDone = absl::AnyInvocable<void(absl::Status)>;

  explicit WorkerStubs(OpenCalls& open_calls) : open_calls_(open_calls) {}

  std::shared_ptr<v1::Worker::Stub> Get(const std::string& address);

  // Drops the channels to all other addresses; calls that are under way keep theirs.
  void Retain(const absl::flat_hash_set<std::string>& addresses);

  // Gives a worker another role; `on_done` runs once, on `strand`.
  void SetRole(const std::string& address, const v1::SetRoleRequest& request,
               const std::shared_ptr<Strand>& strand, OnDone on_done);

  // Ends the calls to `address` that are under way with CANCELLED, as if the worker had died: it is
  // out of the cluster, although its connections may still be open.
  void Break(const std::string& address);

  // A call under way, for Break.
  void Add(const std::string& address, std::shared_ptr<grpc::ClientContext> call);
  void Remove(const std::string& address, const std::shared_ptr<grpc::ClientContext>& call);

  OpenCalls& open_calls() { return open_calls_; }

 private:
  OpenCalls& open_calls_;

  absl::Mutex mutex_;
  absl::flat_hash_map<std::string, std::shared_ptr<v1::Worker::Stub>> stubs_
      ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<std::string, absl::flat_hash_set<std::shared_ptr<grpc::ClientContext>>> calls_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace tandem
