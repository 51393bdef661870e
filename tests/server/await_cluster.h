// Waits, in tests, for what the scheduler knows of the cluster.
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <functional>

#include "proto/scheduler.grpc.pb.h"

namespace tandem {

// Follows the cluster's state until `done` holds; false after a generous time.
inline bool AwaitCluster(v1::Scheduler::Stub& scheduler,
                         const std::function<bool(const v1::ClusterState&)>& done) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
  const auto reader = scheduler.Watch(&context, v1::WatchRequest());
  v1::ClusterState state;
  while (reader->Read(&state)) {
    if (!done(state)) continue;
    context.TryCancel();
    return true;
  }
  return false;
}

}  // namespace tandem
