#include "server/controller/controller.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>

#include <chrono>
#include <random>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "engine/core/status_macros.h"
#include "proto/worker.grpc.pb.h"
#include "server/controller/cluster.h"
#include "server/controller/cluster_messages.h"
#include "server/controller/planning.h"
#include "server/controller/scheduler_service.h"
#include "server/event_log/event_log_file.h"
#include "server/grpc_channel.h"
#include "server/grpc_status.h"

namespace tandem {
namespace {

// How often watchers hear of the cluster's numbers, and how often silence is looked for. Changes of
// membership are told at the next of these moments too.
constexpr absl::Duration kTick = absl::Milliseconds(100);

constexpr std::chrono::seconds kSetRoleTimeout{5};

// Roles change so seldom that a channel of its own is no waste.
absl::Status SetRole(const std::string& address, const RoleSwitch& change, std::stop_token stop) {
  const auto stub = v1::Worker::NewStub(CreateControlChannel(address));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kSetRoleTimeout);
  const std::stop_callback on_stop(std::move(stop), [&context] { context.TryCancel(); });
  v1::SetRoleRequest request;
  request.set_epoch(change.epoch);
  request.set_role(ToProto(change.to));
  v1::SetRoleResponse response;
  return FromGrpc(stub->SetRole(&context, request, &response));
}

PlanningOptions WithLink(const ControllerOptions& options) {
  PlanningOptions planning = options.planning;
  planning.replan.search.replay.kv_bytes_per_second = options.kv_bytes_per_second;
  return planning;
}

class GrpcController : public Controller {
 public:
  GrpcController(const ControllerOptions& options, std::unique_ptr<EventLogFile> event_log)
      : event_log_(std::move(event_log)),
        cluster_(
            {.seed = (static_cast<uint64_t>(std::random_device()()) << 32) | std::random_device()(),
             .heartbeat_timeout = options.heartbeat_timeout,
             .kv_bytes_per_second = options.kv_bytes_per_second},
            EventLogSink()),
        planning_(WithLink(options), &cluster_, SetRole),
        service_(&cluster_, &planning_, options.heartbeat) {}
  ~GrpcController() override { Shutdown(); }

  absl::Status Listen(const ControllerOptions& options);

  int port() const override { return port_; }
  absl::StatusOr<v1::RouteResponse> Route(const v1::RouteRequest& request) override {
    return service_.Route(request);
  }
  void Complete(const v1::CompleteRequest& request) override { service_.Complete(request); }
  std::shared_ptr<grpc::Channel> InProcessChannel() override {
    return server_->InProcessChannel(grpc::ChannelArguments());
  }
  void Shutdown() override;

 private:
  LineSink EventLogSink() const {
    if (event_log_ == nullptr) return nullptr;
    return [log = event_log_.get()](absl::string_view line) { log->Append(line); };
  }
  void RunTicks();

  const std::unique_ptr<EventLogFile> event_log_;  // null: none
  Cluster cluster_;
  Planning planning_;
  SchedulerService service_;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;

  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread ticker_;
};

absl::Status GrpcController::Listen(const ControllerOptions& options) {
  const std::string address = absl::StrCat(options.host, ":", options.grpc_port);
  grpc::EnableDefaultHealthCheckService(true);
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &port_);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.RegisterService(&service_);
  server_ = builder.BuildAndStart();
  if (server_ == nullptr || port_ == 0) {
    return absl::UnavailableError(absl::StrCat("cannot listen on ", address,
                                               ": the port is in use or the address is not ours"));
  }
  ticker_ = std::thread([this] { RunTicks(); });
  planning_.Start();
  return absl::OkStatus();
}

void GrpcController::RunTicks() {
  absl::MutexLock lock(&mutex_);
  while (!mutex_.AwaitWithTimeout(absl::Condition(&stopping_), kTick)) {
    cluster_.Tick(absl::Now());
    service_.NotifyWatchers();
  }
}

void GrpcController::Shutdown() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  if (ticker_.joinable()) ticker_.join();
  planning_.Stop();
  if (server_ != nullptr) {
    server_->Shutdown(std::chrono::system_clock::now() + std::chrono::milliseconds(200));
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<Controller>> Controller::Create(const ControllerOptions& options) {
  std::unique_ptr<EventLogFile> event_log;
  if (!options.event_log.empty()) {
    ASSIGN_OR_RETURN(event_log,
                     EventLogFile::Create(RouterLogPath(options.event_log, absl::Now())));
  }
  auto controller = std::make_unique<GrpcController>(options, std::move(event_log));
  RETURN_IF_ERROR(controller->Listen(options));
  return controller;
}

}  // namespace tandem
