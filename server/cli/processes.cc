// tandem gateway | scheduler | worker: one process of a cluster each.
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "engine/core/log.h"
#include "engine/core/status_macros.h"
#include "server/cli/commands.h"
#include "server/cli/process_options.h"
#include "server/cli/signals.h"
#include "server/controller/controller.h"
#include "server/grpc_channel.h"

namespace tandem {
namespace {

// Returns when a signal tells us to end, or UNAVAILABLE when a rank of the instance has died.
absl::Status AwaitTermination(const Worker& worker) {
  while (true) {
    const int signal = WaitForSignal();
    if (signal == SIGINT || signal == SIGTERM) return absl::OkStatus();
    RETURN_IF_ERROR(worker.CheckRanks());
  }
}

void WaitForTermination() {
  int signal = 0;
  while (signal != SIGINT && signal != SIGTERM) signal = WaitForSignal();
}

// Dies with `tandem serve`, however that ends.
absl::Status TieToParent(pid_t parent) {
  if (parent == 0) return absl::OkStatus();
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() == parent) return absl::OkStatus();
  return absl::AbortedError("the process that started this worker is gone");
}

}  // namespace

absl::Status RunGateway(const Config& config) {
  BlockSignals();
  if (config.scheduler().empty()) return absl::InvalidArgumentError("--scheduler is required");
  ASSIGN_OR_RETURN(GatewayOptions options, MakeGatewayOptions(config));
  options.scheduler = CreateControlChannel(config.scheduler());
  ASSIGN_OR_RETURN(auto gateway, Gateway::Create(options));
  std::cout << "listening http=" << config.host() << ":" << gateway->http_port()
            << " grpc=" << config.host() << ":" << gateway->grpc_port() << std::endl;
  WaitForTermination();
  gateway->Shutdown(absl::Seconds(config.drain_timeout()));
  return absl::OkStatus();
}

absl::Status RunScheduler(const Config& config) {
  BlockSignals();
  ASSIGN_OR_RETURN(ControllerOptions options, MakeControllerOptions(config));
  options.host = config.host();
  options.grpc_port = static_cast<int>(config.grpc_port());
  ASSIGN_OR_RETURN(auto controller, Controller::Create(options));
  std::cout << "listening grpc=" << config.host() << ":" << controller->port() << std::endl;
  WaitForTermination();
  controller->Shutdown();
  return absl::OkStatus();
}

absl::Status RunWorker(const Config& config) {
  BlockSignals();
  RETURN_IF_ERROR(TieToParent(static_cast<pid_t>(config.parent_pid())));
  ASSIGN_OR_RETURN(const WorkerOptions options, MakeWorkerOptions(config));
  ASSIGN_OR_RETURN(auto worker, Worker::Create(options));
  LOG(INFO) << "listening on port " << worker->port();
  if (const absl::Status status = AwaitTermination(*worker); !status.ok()) {
    // At once, as if this rank had died too: peers and gateway know how to go on without us.
    LOG(ERROR) << "ending with " << status.message();
    std::_Exit(1);
  }
  if (worker->Drain(absl::Seconds(config.drain_timeout()))) return absl::OkStatus();
  RETURN_IF_ERROR(worker->CheckRanks());
  return absl::AbortedError("drain timeout: some requests were cut");
}

}  // namespace tandem
