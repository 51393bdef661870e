// Keeps a worker registered with the scheduler: registers, sends statistics, registers again
// whenever the scheduler has gone or forgotten it.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <functional>
#include <memory>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "proto/scheduler.grpc.pb.h"

namespace tandem {

class Registration {
 public:
  // `stats` is called on this object's thread for every heartbeat.
  Registration(const std::shared_ptr<grpc::Channel>& scheduler, v1::RegisterRequest self,
               std::function<v1::WorkerStats()> stats);
  ~Registration();

  // Told with the next heartbeat, which follows at once.
  void SetDraining();
  // Breaks the stream and joins: the scheduler takes the worker out. Idempotent.
  void Stop();

 private:
  void Run();
  // Registers and heartbeats until the stream breaks or Stop.
  grpc::Status Stay();
  // False when Stop was called meanwhile.
  bool Sleep(absl::Duration duration, bool until_draining);

  const std::unique_ptr<v1::Scheduler::Stub> stub_;
  const v1::RegisterRequest self_;
  const std::function<v1::WorkerStats()> stats_;

  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::ClientContext* context_ ABSL_GUARDED_BY(mutex_) = nullptr;  // of the call under way
  std::thread thread_;
};

}  // namespace tandem
