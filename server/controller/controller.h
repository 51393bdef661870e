// The scheduler process: the cluster view and the gRPC service that gateways and workers talk to.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/scheduler.pb.h"
#include "server/controller/planning.h"

namespace grpc {
class Channel;
}

namespace tandem {

struct ControllerOptions {
  std::string host = "127.0.0.1";
  int grpc_port = 0;                                            // 0: any free one
  absl::Duration heartbeat = absl::Milliseconds(100);           // how often workers report
  absl::Duration heartbeat_timeout = absl::Milliseconds(2000);  // silent for longer: not routed to
  double kv_bytes_per_second = 1e9;                             // between two workers
  std::string event_log;                                        // folder; empty: none
  PlanningOptions planning;
};

class Controller {
 public:
  // Listens at once. UNAVAILABLE names the address that is in use; errors of EventLogFile::Create.
  static absl::StatusOr<std::unique_ptr<Controller>> Create(const ControllerOptions& options);
  virtual ~Controller() = default;

  virtual int port() const = 0;

  // The scheduler's calls of these names, for a gateway in this process. Thread-safe.
  virtual absl::StatusOr<v1::RouteResponse> Route(const v1::RouteRequest& request) = 0;
  virtual void Complete(const v1::CompleteRequest& request) = 0;

  // A channel to this very process that touches no network.
  virtual std::shared_ptr<grpc::Channel> InProcessChannel() = 0;

  // Ends all calls and stops listening. Idempotent.
  virtual void Shutdown() = 0;
};

}  // namespace tandem
