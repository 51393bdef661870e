// The pulls of a worker that are not over, so that it can end after the last of them.
#pragma once

#include <grpcpp/client_context.h>

#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/synchronization/mutex.h"

namespace tandem {

// A pull is over once nothing of it touches the worker any more: its stream has ended and the
// receiver has handled what came. Thread-safe; calls gRPC, which may run callbacks in it, without
// a lock.
class OpenPulls {
 public:
  // A pull that begins, with the context of its call, which has started. Cancelled at once after
  // EndAll.
  void Add(std::shared_ptr<grpc::ClientContext> call);
  // It is over. Lets go of its call, and so of its channel; after EndAll that thread does:
  // gRPC 1.51 breaks when one of its own threads drops the last channel of a process without a
  // server.
  void Remove(std::shared_ptr<grpc::ClientContext> call);

  // Cancels all pulls and waits until they are over, for which their receiver must run.
  void EndAll();

 private:
  using Calls = absl::flat_hash_set<std::shared_ptr<grpc::ClientContext>>;

  absl::Mutex mutex_;
  Calls calls_ ABSL_GUARDED_BY(mutex_);
  int num_open_ ABSL_GUARDED_BY(mutex_) = 0;
  bool is_ending_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace tandem
