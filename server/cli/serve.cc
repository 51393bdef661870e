// tandem serve: scheduler and gateway in this process, workers as children of it.
#include <unistd.h>

#include <atomic>
#include <iostream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/core/log.h"
#include "engine/core/status_macros.h"
#include "server/cli/commands.h"
#include "server/cli/instance_plan.h"
#include "server/cli/process_options.h"
#include "server/cli/readiness.h"
#include "server/cli/signals.h"
#include "server/cli/supervisor.h"
#include "server/controller/controller.h"
#include "server/gateway/gateway.h"

namespace tandem {
namespace {

std::vector<std::string> WorkerArgs(const Config& config, const InstancePlan& instance,
                                    int scheduler_port) {
  std::vector<std::string> args = {"worker"};
  const auto add = [&args](const char* flag, const auto& value) {
    args.push_back(absl::StrCat(flag, "=", value));
  };
  add("--model", config.model());
  add("--role", instance.role);
  add("--instance-id", instance.id);
  add("--threads", instance.threads);
  add("--tp", config.tp());
  add("--pp", config.pp());
  if (!instance.cpus.empty()) add("--cpus", FormatCpuList(instance.cpus));
  add("--isa", config.isa());
  add("--quantize-activations", config.quantize_activations());
  add("--pack-cache", config.pack_cache());
  add("--cache", config.cache());
  add("--parent-pid", getpid());
  add("--host", "127.0.0.1");
  add("--grpc-port", 0);
  add("--scheduler", absl::StrCat("127.0.0.1:", scheduler_port));
  add("--max-model-len", config.max_model_len());
  add("--max-num-seqs", config.max_num_seqs());
  add("--max-num-batched-tokens", config.max_num_batched_tokens());
  add("--prefill-batch-tokens", config.prefill_batch_tokens());
  add("--max-queued-requests", config.max_queued_requests());
  add("--kv-cache-bytes", config.kv_cache_bytes());
  if (config.swap_bytes() >= 0) add("--swap-bytes", config.swap_bytes());
  add("--kv-cache-dtype", config.kv_cache_dtype());
  add("--block-size", config.block_size());
  add("--prefix-caching", config.prefix_caching());
  add("--kv-lease", config.kv_lease());
  if (!config.event_log().empty()) add("--event-log", config.event_log());
  add("--health-timeout", config.health_timeout());
  add("--drain-timeout", config.drain_timeout());
  add("--log-level", config.log_level());
  return args;
}

absl::Status StartWorkers(const Config& config, int scheduler_port, Supervisor& supervisor) {
  ASSIGN_OR_RETURN(const std::vector<InstancePlan> plan, PlanInstances(config, AvailableCpus()));
  if (plan.front().cpus.empty()) {
    LOG(WARNING) << plan.size() << " instances of " << config.tp() * config.pp() << " ranks of "
                 << plan.front().threads << " threads share " << AvailableCpus().size()
                 << " cores: not pinned, and their latencies depend on each other";
  }
  for (const InstancePlan& instance : plan) {
    RETURN_IF_ERROR(
        supervisor.Start(instance.id, WorkerArgs(config, instance, scheduler_port), absl::Now()));
  }
  return absl::OkStatus();
}

// Tends the workers until a signal tells us to end.
absl::Status SuperviseUntilSignal(Supervisor& supervisor) {
  while (true) {
    const absl::Duration until_restart = supervisor.NextRestart() - absl::Now();
    const int signal = WaitForSignal(std::max(until_restart, absl::ZeroDuration()));
    if (signal == SIGINT || signal == SIGTERM) return absl::OkStatus();
    RETURN_IF_ERROR(supervisor.Tend(absl::Now()));
  }
}

// Waits for the workers to end by themselves; a second SIGINT or SIGTERM ends them at once.
void AwaitWorkers(Supervisor& supervisor, absl::Time give_up) {
  while (supervisor.AnyRunning() && absl::Now() < give_up) {
    const int signal = WaitForSignal(give_up - absl::Now());
    if (signal == SIGINT || signal == SIGTERM) break;
    if (absl::Status status = supervisor.Tend(absl::Now()); !status.ok()) break;
  }
  supervisor.Kill();
}

// Drains the gateway while signals are still heard: a second one cuts it short.
void DrainGateway(Gateway& gateway, Supervisor& supervisor, absl::Duration timeout) {
  std::atomic<bool> drained = false;
  std::thread drain([&] {
    gateway.Shutdown(timeout);
    drained = true;
    kill(getpid(), SIGCHLD);  // wakes the wait below
  });
  while (!drained) {
    const int signal = WaitForSignal();
    if (signal == SIGINT || signal == SIGTERM) {
      LOG(WARNING) << "second signal: ending at once";
      supervisor.Kill();  // breaks every stream, so the drain ends too
    }
  }
  drain.join();
}

}  // namespace

absl::Status RunServe(const Config& config) {
  BlockSignals();
  if (config.model().empty()) return absl::InvalidArgumentError("--model is required");
  RETURN_IF_ERROR(CheckWorkerLimits(config));
  RETURN_IF_ERROR(CheckModelFitsRanks(config));
  ASSIGN_OR_RETURN(const ControllerOptions controller_options, MakeControllerOptions(config));
  ASSIGN_OR_RETURN(auto controller, Controller::Create(controller_options));
  ASSIGN_OR_RETURN(GatewayOptions gateway_options, MakeGatewayOptions(config));
  gateway_options.scheduler = controller->InProcessChannel();
  gateway_options.local_scheduler = {
      .route = [&controller](const auto& request) { return controller->Route(request); },
      .complete = [&controller](const auto& request) { controller->Complete(request); }};
  ASSIGN_OR_RETURN(auto gateway, Gateway::Create(gateway_options));

  Supervisor supervisor("/proc/self/exe");
  RETURN_IF_ERROR(StartWorkers(config, controller->port(), supervisor));
  const std::string greeting =
      absl::StrCat("listening http=", config.host(), ":", gateway->http_port(),
                   " grpc=", config.host(), ":", gateway->grpc_port());
  ReadinessWatch readiness(controller->InProcessChannel(),
                           [greeting] { std::cout << greeting << std::endl; });
  absl::Status status = SuperviseUntilSignal(supervisor);
  readiness.Stop();
  if (status.ok()) {
    LOG(INFO) << "draining; a second signal ends at once";
    DrainGateway(*gateway, supervisor, absl::Seconds(config.drain_timeout()));
  } else {
    gateway->Shutdown(absl::ZeroDuration());  // before it misses the scheduler
  }
  supervisor.Terminate();
  AwaitWorkers(supervisor, absl::Now() + absl::Seconds(5));
  controller->Shutdown();
  return status;
}

}  // namespace tandem
