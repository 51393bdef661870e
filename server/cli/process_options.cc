#include "server/cli/process_options.h"

#include <unistd.h>

#include <algorithm>
#include <functional>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/core/log.h"
#include "engine/core/status_macros.h"
#include "engine/weights/model_weights.h"
#include "engine/weights/rank_slice.h"
#include "server/bench/run_series.h"
#include "server/cli/commands.h"
#include "server/cli/config_loader.h"
#include "server/cli/instance_plan.h"
#include "server/cli/option_value.h"
#include "server/cli/process_facts.h"
#include "server/cli/rank_command.h"
#include "server/cli/text_file.h"

namespace tandem {
namespace {

absl::StatusOr<Role> ParseRole(const std::string& role) {
  if (role == "prefill") return Role::kPrefill;
  if (role == "decode") return Role::kDecode;
  if (role == "mixed") return Role::kMixed;
  return absl::InvalidArgumentError("--role is required: prefill, decode or mixed");
}

// Where this user's programs keep what they can make again; empty: nowhere.
std::string CacheFolder(const Config& config) {
  if (!config.cache().empty()) return config.cache();
  const Environment environment = ProcessEnvironment();
  const std::string cache_home = environment("XDG_CACHE_HOME").value_or("");
  if (!cache_home.empty()) return absl::StrCat(cache_home, "/tandem");
  const std::string home = environment("HOME").value_or("");
  return home.empty() ? "" : absl::StrCat(home, "/.cache/tandem");
}

// Logs how far packing is, every two seconds, and what it took.
std::function<void(int64_t done, int64_t all)> LogPacking() {
  return [start = absl::Now(), last = absl::Now()](int64_t done, int64_t all) mutable {
    const absl::Time now = absl::Now();
    if (done == all) {
      LOG(INFO) << "packed " << all / 1000000 << " MB of weights in " << now - start;
    } else if (now - last >= absl::Seconds(2)) {
      LOG(INFO) << "packing weights: " << done / 1000000 << " of " << all / 1000000 << " MB";
      last = now;
    }
  };
}

// Sets the ranks and, of the instance's cores, those of this rank.
absl::Status ShareOutCores(const Config& config, RunnerOptions& runner) {
  // A command without these options has one rank.
  runner.ranks = {.tp = std::max(1, static_cast<int>(config.tp())),
                  .pp = std::max(1, static_cast<int>(config.pp()))};
  ASSIGN_OR_RETURN(const std::vector<int> cpus, NameOption("cpus", ParseCpuList(config.cpus())));
  const int64_t num_ranks = runner.ranks.NumRanks();
  const auto num_cpus = static_cast<int64_t>(cpus.empty() ? AvailableCpus().size() : cpus.size());
  if (num_ranks > num_cpus && num_ranks > 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("--tp ", config.tp(), " --pp ", config.pp(), " make ", num_ranks,
                     " ranks of an instance that has ", num_cpus,
                     " cores: tp times pp must be at most ", num_cpus));
  }
  const int64_t threads = config.threads() > 0 ? config.threads() : num_cpus / num_ranks;
  runner.ops.num_threads = static_cast<int>(threads);
  for (int64_t i = 0; i < threads && !cpus.empty(); ++i) {
    runner.ops.cpus.push_back(cpus[(config.rank() * threads + i) % num_cpus]);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<GatewayOptions> MakeGatewayOptions(const Config& config) {
  if (config.model().empty()) return absl::InvalidArgumentError("--model is required");
  GatewayOptions options;
  options.host = config.host();
  options.http_port = static_cast<int>(config.port());
  options.grpc_port = static_cast<int>(config.grpc_port());
  options.model_path = config.model();
  options.served_model_names.assign(config.served_model_name().begin(),
                                    config.served_model_name().end());
  options.version = TandemVersion();
  options.max_body_bytes = config.max_body_bytes();
  options.replay_timeout = absl::Seconds(config.replay_timeout());
  options.max_concurrent_requests = static_cast<int>(config.max_concurrent_requests());
  options.is_realtime = config.realtime_gateway();
  options.api_keys.assign(config.api_key().begin(), config.api_key().end());
  ASSIGN_OR_RETURN(options.slo_classes,
                   NameOption("slo-class", SloClasses::Parse({config.slo_class().begin(),
                                                              config.slo_class().end()})));
  if (!config.chat_template().empty()) {
    ASSIGN_OR_RETURN(options.chat_template_override, ReadFile(config.chat_template()));
  }
  return options;
}

absl::StatusOr<ControllerOptions> MakeControllerOptions(const Config& config) {
  ControllerOptions options;
  options.kv_bytes_per_second = static_cast<double>(config.kv_bandwidth());
  options.event_log = config.event_log();
  PlanningOptions& planning = options.planning;
  planning.mode = config.replan() == "on"        ? ReplanMode::kOn
                  : config.replan() == "dry-run" ? ReplanMode::kDryRun
                                                 : ReplanMode::kOff;
  planning.interval = absl::Seconds(config.replan_interval());
  planning.replan.window = absl::Seconds(config.replan_window());
  planning.replan.cooldown = absl::Seconds(config.replan_cooldown());
  planning.replan.min_requests = static_cast<int>(config.replan_requests());
  planning.replan.search.goal = config.attainment();
  ASSIGN_OR_RETURN(
      planning.replan.search.replay.default_targets,
      NameOption("goodput", ParseTargets({config.goodput().begin(), config.goodput().end()})));
  return options;
}

absl::Status CheckWorkerLimits(const Config& config) {
  if (config.max_num_batched_tokens() >= config.max_num_seqs()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "--max-num-batched-tokens ", config.max_num_batched_tokens(), " is below --max-num-seqs ",
      config.max_num_seqs(), ": a step could not hold one token of every sequence"));
}

absl::StatusOr<WorkerOptions> MakeWorkerOptions(const Config& config) {
  RETURN_IF_ERROR(CheckWorkerLimits(config));
  if (config.scheduler().empty()) return absl::InvalidArgumentError("--scheduler is required");
  WorkerOptions options;
  ASSIGN_OR_RETURN(options.role, ParseRole(config.role()));
  const std::string id = config.instance_id().empty() ? absl::StrCat(config.role(), "-", getpid())
                                                      : config.instance_id();
  options.instance_id = InstanceId(id);
  options.host = config.host();
  options.grpc_port = static_cast<int>(config.grpc_port());
  options.advertise_address = config.advertise_address();
  options.scheduler_address = config.scheduler();
  options.max_num_seqs = static_cast<int>(config.max_num_seqs());
  options.prefill_batch_tokens = static_cast<int>(config.prefill_batch_tokens());
  options.max_queued_requests = static_cast<int>(config.max_queued_requests());
  options.prefix_caching = config.prefix_caching();
  options.kv_lease = absl::Seconds(config.kv_lease());
  options.health_timeout = absl::Seconds(config.health_timeout());
  options.event_log = config.event_log();
  options.cpu = CpuName();
  options.weight_bytes = WeightFileBytes(config.model());

  ASSIGN_OR_RETURN(options.runner, MakeRunnerOptions(config));
  return options;
}

absl::Status CheckModelFitsRanks(const Config& config) {
  ASSIGN_OR_RETURN(const RunnerOptions options, MakeRunnerOptions(config));
  if (options.ranks.NumRanks() == 1) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::unique_ptr<Model> model, LoadModel(options.model_path));
  return MakeRankSlice(*model, options.ranks, /*rank=*/0).status();
}

absl::StatusOr<RunnerOptions> MakeRunnerOptions(const Config& config) {
  if (config.model().empty()) return absl::InvalidArgumentError("--model is required");
  RunnerOptions runner;
  runner.model_path = config.model();
  ASSIGN_OR_RETURN(runner.ops.isa, ParseIsa(config.isa()));
  runner.ops.quantize_activations = config.quantize_activations();
  RETURN_IF_ERROR(ShareOutCores(config, runner));
  runner.start_rank = StartRankLikeThis;
  if (const std::string cache = CacheFolder(config); config.pack_cache() && !cache.empty()) {
    runner.pack.cache_folder = cache + "/packed";
  }
  runner.pack.progress = LogPacking();
  ASSIGN_OR_RETURN(runner.kv_dtype, ParseDType(config.kv_cache_dtype()));
  runner.block_size = static_cast<int>(config.block_size());
  runner.kv_cache_bytes = config.kv_cache_bytes();
  runner.swap_bytes = config.swap_bytes();
  runner.max_model_len = static_cast<int>(config.max_model_len());
  runner.max_num_batched_tokens = static_cast<int>(config.max_num_batched_tokens());
  return runner;
}

}  // namespace tandem
