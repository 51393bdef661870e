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
  // `is_first`: the scheduler knows nothing of this worker yet.
  using Fill = std::function<void(bool is_first, v1::HeartbeatRequest& beat)>;

  // `fill` is called on this object's thread for every heartbeat, to add what the worker reports.
  Registration(const std::shared_ptr<grpc::Channel>& scheduler, v1::RegisterRequest self,
               Fill fill);
  ~Registration();

  void Start();
  // Told with the next heartbeat, which follows at once.
  void SetDraining();
  void SetRole(v1::Role role);
  // Ends the call under way, whatever the scheduler does, and joins: it takes the worker out.
  // Idempotent.
  void Stop();

 private:
  // A call from here to there, which Stop cancels; also one that has not begun yet.
  class CancelledByStop {
   public:
    CancelledByStop(Registration& registration, grpc::ClientContext& context);
    ~CancelledByStop();

   private:
    Registration& registration_;
  };

  void Run();
  grpc::Status Register(v1::RegisterResponse& response);
  // Registers and heartbeats until the stream breaks or Stop.
  grpc::Status Stay();
  // Less long if there is news to tell and `until_news`. False when Stop was called meanwhile.
  bool Sleep(absl::Duration duration, bool until_news);

  const std::unique_ptr<v1::Scheduler::Stub> stub_;
  const v1::RegisterRequest self_;
  const Fill fill_;

  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  v1::Role role_ ABSL_GUARDED_BY(mutex_);
  bool has_news_ ABSL_GUARDED_BY(mutex_) = false;  // of these two, since the last heartbeat
  grpc::ClientContext* context_ ABSL_GUARDED_BY(mutex_) = nullptr;  // of the call under way
  std::thread thread_;
};

}  // namespace tandem
