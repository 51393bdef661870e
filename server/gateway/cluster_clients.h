// Stubs of the scheduler and of workers.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "proto/scheduler.grpc.pb.h"
#include "proto/worker.grpc.pb.h"
#include "server/gateway/executor.h"

namespace tandem {

// Asks the scheduler service. Thread-safe; calls never block.
class SchedulerClient {
 public:
  using OnRoute = absl::AnyInvocable<void(absl::StatusOr<v1::RouteResponse>)>;

  explicit SchedulerClient(std::shared_ptr<grpc::Channel> channel);

  // `on_route` runs once, on `strand`.
  void Route(v1::RouteRequest request, std::shared_ptr<Strand> strand, OnRoute on_route);

  // The request has left its workers. A lost message only leaves its load on the scheduler's books
  // until the worker's next statistics.
  void Complete(uint64_t request_id);

  v1::Scheduler::Stub& stub() { return *stub_; }

 private:
  const std::unique_ptr<v1::Scheduler::Stub> stub_;
};

// One channel per worker address. Thread-safe.
class WorkerStubs {
 public:
  std::shared_ptr<v1::Worker::Stub> Get(const std::string& address);

  // Drops the channels to all other addresses; calls that are under way keep theirs.
  void Retain(const absl::flat_hash_set<std::string>& addresses);

 private:
  absl::Mutex mutex_;
  absl::flat_hash_map<std::string, std::shared_ptr<v1::Worker::Stub>> stubs_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace tandem
