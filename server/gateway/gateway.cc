#include "server/gateway/gateway.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/core/log.h"
#include "engine/core/status_macros.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "server/gateway/active_requests.h"
#include "server/gateway/cluster_clients.h"
#include "server/gateway/cluster_endpoints.h"
#include "server/gateway/cluster_watch.h"
#include "server/gateway/endpoints.h"
#include "server/gateway/error.h"
#include "server/gateway/executor.h"
#include "server/gateway/http_router.h"
#include "server/gateway/http_server.h"
#include "server/gateway/inference_service.h"
#include "server/gateway/metrics.h"
#include "server/gateway/model_info.h"
#include "server/gateway/plan_endpoints.h"

namespace tandem {
namespace {

// Cancelled calls end within a round trip to their worker; a worker that does not even close its
// connection must not keep the process from ending.
constexpr absl::Duration kCancelTimeout = absl::Seconds(5);

// For the last messages of calls that have ended; a health watch never ends by itself.
constexpr absl::Duration kFlushTimeout = absl::Milliseconds(500);

// A body of JSON and a prompt of token ids are of similar size.
constexpr int kMaxGrpcMessageBytes = 64 << 20;

int NumThreads(int wanted) {
  constexpr int kLeast = 2;
  if (wanted > 0) return wanted;
  return std::max<int>(kLeast, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace

// Declared in the order of use: a part is destroyed before what it refers to.
struct Gateway::Parts {
  explicit Parts(GatewayOptions given, ModelInfo loaded)
      : options(std::move(given)),
        model(std::move(loaded)),
        active_requests(options.max_concurrent_requests, metrics),
        event_loop(NumThreads(options.num_threads)),
        scheduler(options.scheduler, options.local_scheduler, open_calls),
        workers(open_calls),
        cluster(scheduler, workers, event_loop.NewStrand(),
                [this](bool is_servable) { SetGrpcHealth(is_servable); }),
        services{.scheduler = scheduler,
                 .workers = workers,
                 .metrics = metrics,
                 .tokenizer = *model.tokenizer,
                 .cluster = cluster,
                 .slo_classes = options.slo_classes,
                 .replay_timeout = options.replay_timeout},
        endpoints({.model = model,
                   .cluster = cluster,
                   .active_requests = active_requests,
                   .metrics = metrics,
                   .services = services,
                   .event_loop = event_loop,
                   .version = options.version}),
        cluster_endpoints(cluster, workers),
        plan_endpoints(scheduler, metrics),
        router(options.api_keys),
        inference({.model = model,
                   .cluster = cluster,
                   .active_requests = active_requests,
                   .services = services,
                   .event_loop = event_loop,
                   .api_keys = options.api_keys}) {}

  absl::Status Listen();
  absl::Status ListenHttp();
  absl::Status ListenGrpc();
  void SetGrpcHealth(bool is_servable);
  int Shutdown(absl::Duration drain_timeout);

  const GatewayOptions options;
  const ModelInfo model;
  Metrics metrics;
  ActiveRequests active_requests;
  EventLoop event_loop;
  OpenCalls open_calls;
  SchedulerClient scheduler;
  WorkerStubs workers;
  ClusterWatch cluster;
  const GenerationServices services;
  Endpoints endpoints;
  ClusterEndpoints cluster_endpoints;
  PlanEndpoints plan_endpoints;
  HttpRouter router;
  InferenceService inference;
  std::unique_ptr<HttpServer> http_server;
  std::unique_ptr<grpc::Server> grpc_server;
  int grpc_port = 0;
  bool is_shut_down = false;
};

absl::Status Gateway::Parts::Listen() {
  for (const std::string& label : options.slo_classes.Labels()) metrics.AddSloClass(label);
  endpoints.AddTo(router);
  cluster_endpoints.AddTo(router);
  plan_endpoints.AddTo(router);
  // Until the event loop runs, connections wait in their backlog. gRPC has threads of its own, so
  // it comes last: no call of it is left behind when the other port is taken.
  RETURN_IF_ERROR(ListenHttp());
  RETURN_IF_ERROR(ListenGrpc());
  RETURN_IF_ERROR(event_loop.Start({.is_realtime = options.is_realtime}));
  cluster.Start();
  return absl::OkStatus();
}

absl::Status Gateway::Parts::ListenHttp() {
  const HttpServerOptions http = {.host = options.host,
                                  .port = options.http_port,
                                  .max_body_bytes = options.max_body_bytes,
                                  .max_connections = options.max_connections,
                                  .idle_timeout = options.idle_timeout,
                                  .read_timeout = options.read_timeout,
                                  .write_timeout = options.write_timeout};
  ASSIGN_OR_RETURN(http_server, HttpServer::Create(
                                    http, event_loop,
                                    [this](const std::shared_ptr<HttpExchange>& exchange) {
                                      router.Handle(exchange);
                                    },
                                    [](int http_status, absl::string_view message) {
                                      return ErrorResponse(HttpProtocolError(http_status, message));
                                    }));
  return absl::OkStatus();
}

absl::Status Gateway::Parts::ListenGrpc() {
  const std::string address = absl::StrCat(options.host, ":", options.grpc_port);
  // Both plugins are of the process, and apply to servers that are built later.
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  // Without it a second process could listen on the same port, and would get half of the calls.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.SetMaxReceiveMessageSize(kMaxGrpcMessageBytes);
  builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &grpc_port);
  builder.RegisterService(&inference);
  grpc_server = builder.BuildAndStart();
  if (grpc_server == nullptr || grpc_port == 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen for gRPC on ", address, ": address in use or not available"));
  }
  SetGrpcHealth(false);
  return absl::OkStatus();
}

void Gateway::Parts::SetGrpcHealth(bool is_servable) {
  const bool is_serving = is_servable && !active_requests.is_draining();
  grpc::HealthCheckServiceInterface* const health = grpc_server->GetHealthCheckService();
  for (const char* service : {"", "tandem.v1.Inference"}) {
    health->SetServingStatus(service, is_serving);
  }
}

int Gateway::Parts::Shutdown(absl::Duration drain_timeout) {
  if (std::exchange(is_shut_down, true)) return 0;
  active_requests.BeginDrain();
  if (grpc_server != nullptr) SetGrpcHealth(false);
  int num_cut = 0;
  if (!active_requests.WaitUntilNone(drain_timeout)) {
    num_cut = active_requests.CancelAll();
    if (!active_requests.WaitUntilNone(kCancelTimeout)) {
      LOG(WARNING) << "workers did not end their calls within " << kCancelTimeout;
    }
  }
  cluster.Stop();
  if (http_server != nullptr) http_server->Stop();
  if (grpc_server != nullptr) {
    grpc_server->Shutdown(absl::ToChronoTime(absl::Now() + kFlushTimeout));
    grpc_server->Wait();
  }
  if (!open_calls.WaitUntilNone(kCancelTimeout)) {
    LOG(WARNING) << "calls to scheduler or workers are still open";
  }
  event_loop.Stop();
  return num_cut;
}

absl::StatusOr<std::unique_ptr<Gateway>> Gateway::Create(GatewayOptions options) {
  if (options.scheduler == nullptr) {
    return absl::InvalidArgumentError("the gateway needs a channel to the scheduler");
  }
  ASSIGN_OR_RETURN(ModelInfo model, LoadModelInfo(options.model_path, options.served_model_names,
                                                  options.chat_template_override, absl::Now()));
  auto parts = std::make_unique<Parts>(std::move(options), std::move(model));
  auto gateway = std::unique_ptr<Gateway>(new Gateway(std::move(parts)));
  RETURN_IF_ERROR(gateway->parts_->Listen());
  return gateway;
}

Gateway::Gateway(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Gateway::~Gateway() { parts_->Shutdown(absl::ZeroDuration()); }

int Gateway::http_port() const { return parts_->http_server->port(); }

int Gateway::grpc_port() const { return parts_->grpc_port; }

int Gateway::Shutdown(absl::Duration drain_timeout) { return parts_->Shutdown(drain_timeout); }

}  // namespace tandem
