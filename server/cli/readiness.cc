#include "server/cli/readiness.h"

#include <utility>

#include "proto/scheduler.grpc.pb.h"

namespace tandem {

ReadinessWatch::ReadinessWatch(std::shared_ptr<grpc::Channel> scheduler,
                               std::function<void()> on_ready)
    : on_ready_(std::move(on_ready)) {
  thread_ = std::thread([this, scheduler = std::move(scheduler)] { Run(scheduler); });
}

ReadinessWatch::~ReadinessWatch() { Stop(); }

void ReadinessWatch::Stop() {
  context_.TryCancel();
  if (thread_.joinable()) thread_.join();
}

void ReadinessWatch::Run(const std::shared_ptr<grpc::Channel>& scheduler) {
  const auto stub = v1::Scheduler::NewStub(scheduler);
  const auto reader = stub->Watch(&context_, v1::WatchRequest());
  v1::ClusterState state;
  while (reader->Read(&state)) {
    if (!state.servable()) continue;
    on_ready_();
    break;
  }
  context_.TryCancel();
  reader->Finish();
}

}  // namespace tandem
