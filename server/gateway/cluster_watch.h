// The gateway's view of the cluster: the scheduler's Watch stream, opened again whenever it breaks.
// A worker that leaves the cluster while the stream is open is given up: its calls end.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "proto/scheduler.pb.h"
#include "server/gateway/executor.h"

namespace tandem {

class SchedulerClient;
class WorkerStubs;

// Thread-safe. Routing does not depend on it: a stale view only makes readiness and metrics stale.
class ClusterWatch {
 public:
  struct View {
    v1::ClusterState state;     // the last one received
    std::set<int> block_sizes;  // of its instances
    bool is_connected = false;  // the scheduler is there
    bool was_servable = false;  // a request could be served at some time since the start
    bool is_servable() const { return is_connected && state.servable(); }
    // Why not; for messages.
    std::string NotServableReason() const;
  };

  // `on_change` runs on `strand` whenever is_servable() changes. `scheduler` and `workers`
  // outlive it.
  ClusterWatch(SchedulerClient& scheduler, WorkerStubs& workers, std::shared_ptr<Strand> strand,
               std::function<void(bool is_servable)> on_change);
  ~ClusterWatch();  // Stop must have been called if Start was.

  void Start();
  // Ends the stream and waits until nothing of it is left. Not on the strand.
  void Stop();

  std::shared_ptr<const View> view() const;

  // Smallest context that the workers offer, in tokens; `fallback` while none is known.
  int MaxModelLen(int fallback) const;

 private:
  class Stream;

  void Open();
  void Take(v1::ClusterState state);
  void Lost(const absl::Status& status);
  void Publish(std::shared_ptr<const View> next);
  bool is_stopped() const;

  SchedulerClient& scheduler_;
  WorkerStubs& workers_;
  const std::shared_ptr<Strand> strand_;
  const std::function<void(bool)> on_change_;

  // Strand only.
  std::unique_ptr<Strand::Timer> reopen_;
  absl::flat_hash_set<std::string> addresses_;  // of workers, as last told on the open stream

  mutable absl::Mutex mutex_;
  std::shared_ptr<Stream> stream_ ABSL_GUARDED_BY(mutex_);  // null: none is open
  bool is_stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::shared_ptr<const View> view_ ABSL_GUARDED_BY(mutex_) = std::make_shared<View>();
};

}  // namespace tandem
