// Tells once when the cluster can serve its first request.
#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <thread>

namespace tandem {

class ReadinessWatch {
 public:
  // Follows the scheduler's Watch stream on a thread of its own and calls `on_ready` there at most
  // once.
  ReadinessWatch(std::shared_ptr<grpc::Channel> scheduler, std::function<void()> on_ready);
  ~ReadinessWatch();

  void Stop();

 private:
  void Run(const std::shared_ptr<grpc::Channel>& scheduler);

  const std::function<void()> on_ready_;
  grpc::ClientContext context_;
  std::thread thread_;
};

}  // namespace tandem
