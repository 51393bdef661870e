#include "server/cli/cluster_options.h"

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "engine/core/status_macros.h"
#include "scheduler/sim/random.h"
#include "scheduler/sim/trace_reader.h"
#include "server/cli/compat_options.h"
#include "server/cli/option_value.h"
#include "server/cli/text_file.h"

namespace tandem {
namespace {

constexpr uint64_t kFailureStream = 21;

// FAILED_PRECONDITION: a phase that the role has was not measured.
absl::Status CheckMeasured(InstanceRole role, const InstanceProfile& profile) {
  const LatencyCoefficients& latency = profile.latency;
  const bool has_prefill = latency.prefill.base_ms + latency.prefill.token_ms > 0;
  const bool has_decode = latency.decode.base_ms + latency.decode.row_ms > 0;
  const char* lacking = role != InstanceRole::kDecode && !has_prefill   ? "prefill"
                        : role != InstanceRole::kPrefill && !has_decode ? "decode"
                                                                        : nullptr;
  if (lacking == nullptr) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("the profile has no ", lacking, " times of TP ",
                                                    profile.tp, ", PP ", profile.pp));
}

absl::StatusOr<SimInstanceOptions> MakeInstance(const Config& config, InstanceRole role,
                                                const InstanceProfile& profile) {
  RETURN_IF_ERROR(CheckMeasured(role, profile));
  SimInstanceOptions instance;
  instance.role = role;
  ASSIGN_OR_RETURN(instance.latency, LatencyModel::Create(profile.latency));
  instance.scatter = profile.scatter;
  instance.kv_bytes_per_token = static_cast<double>(profile.kv_bytes_per_token);
  instance.num_layers = profile.num_layers;
  instance.num_devices = profile.tp * profile.pp;
  const int64_t kv_tokens = config.kv_tokens() > 0 ? config.kv_tokens() : profile.num_kv_tokens;
  if (kv_tokens < profile.block_size) {
    return absl::InvalidArgumentError(
        config.kv_tokens() > 0
            ? absl::StrCat("option --kv-tokens: ", kv_tokens, " tokens are less than a block of ",
                           profile.block_size)
            : std::string("the profile knows no KV capacity: give --kv-tokens"));
  }
  InstanceOptions& scheduler = instance.scheduler;
  scheduler.block_size = profile.block_size;
  scheduler.num_blocks = static_cast<int>(
      std::min<int64_t>(kv_tokens / profile.block_size, std::numeric_limits<int>::max()));
  scheduler.max_model_len = static_cast<int>(std::min<int64_t>(kv_tokens, 1 << 24));
  scheduler.max_num_seqs = static_cast<int>(config.max_num_seqs());
  scheduler.max_num_batched_tokens = static_cast<int>(config.max_num_batched_tokens());
  const int64_t batch_tokens = config.prefill_batch_tokens() > 0 ? config.prefill_batch_tokens()
                                                                 : profile.prefill_batch_tokens;
  if (batch_tokens > 0) scheduler.prefill_batch_tokens = static_cast<int>(batch_tokens);
  scheduler.max_queued_requests = static_cast<int>(config.max_queued_requests());
  scheduler.prefix_caching = config.prefix_caching();
  scheduler.depth = profile.pp;
  return instance;
}

}  // namespace

absl::StatusOr<Profile> ReadProfile(const Config& config) {
  if (config.profile().empty()) return absl::InvalidArgumentError("--profile is required");
  ASSIGN_OR_RETURN(const std::string text, ReadFile(config.profile()));
  absl::StatusOr<Profile> profile = ParseProfile(text);
  if (!profile.ok()) return Annotate(profile.status(), config.profile());
  if (profile->instances.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(config.profile(), " has no instances"));
  }
  const std::string& model = profile->instances.front().model;
  for (const InstanceProfile& instance : profile->instances) {
    if (instance.model == model) continue;
    return absl::InvalidArgumentError(absl::StrCat(config.profile(), " has instances of ", model,
                                                   " and of ", instance.model,
                                                   ": they cannot serve together"));
  }
  return profile;
}

absl::StatusOr<ClusterPlacement> ParseCluster(const Config& config) {
  const bool all_mixed = config.mixed() > 0;
  const auto count = [all_mixed](int64_t given) {
    return static_cast<int>(given >= 0 ? given : all_mixed ? 0 : 1);
  };
  ClusterPlacement cluster;
  cluster.num_prefill = count(config.prefill());
  cluster.num_decode = count(config.decode());
  cluster.num_mixed = static_cast<int>(config.mixed());
  const int threads = static_cast<int>(config.threads());
  cluster.prefill.threads = cluster.decode.threads = cluster.mixed.threads = threads;
  if (config.placement().empty()) return cluster;
  const std::vector<double> given = NumbersOf(config.placement());
  std::vector<int> numbers(given.begin(), given.end());
  if (numbers.size() == 2) numbers = {numbers[0], numbers[1], numbers[0], numbers[1]};
  if (numbers.size() != 4) {
    return absl::InvalidArgumentError(absl::StrCat(
        "option --placement: expected TP,PP or TP,PP,TP,PP, got \"", config.placement(), "\""));
  }
  cluster.prefill = {.tp = numbers[0], .pp = numbers[1], .threads = threads};
  cluster.decode = cluster.mixed = {.tp = numbers[2], .pp = numbers[3], .threads = threads};
  return cluster;
}

absl::StatusOr<SimulationOptions> MakeSimulationOptions(const Config& config,
                                                        const Profile& profile,
                                                        const ClusterPlacement& cluster) {
  SimulationOptions options;
  const auto add = [&](int count, InstanceRole role, const InstanceRanks& shape) -> absl::Status {
    if (count == 0) return absl::OkStatus();
    ASSIGN_OR_RETURN(const InstanceProfile found,
                     FindProfile(profile.instances, shape.tp, shape.pp, shape.threads));
    ASSIGN_OR_RETURN(const SimInstanceOptions instance, MakeInstance(config, role, found));
    options.instances.insert(options.instances.end(), count, instance);
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(add(cluster.num_prefill, InstanceRole::kPrefill, cluster.prefill));
  RETURN_IF_ERROR(add(cluster.num_decode, InstanceRole::kDecode, cluster.decode));
  RETURN_IF_ERROR(add(cluster.num_mixed, InstanceRole::kMixed, cluster.mixed));
  options.seed = static_cast<uint64_t>(config.seed());
  options.network_delay = absl::Seconds(config.network_delay());
  options.path = profile.path;
  if (config.link_bandwidth() > 0) {
    options.link_bytes_per_second = static_cast<double>(config.link_bandwidth());
  }
  options.layerwise = config.layerwise();
  options.cancel_share = config.cancel_share();
  return options;
}

void DrawFailures(const Config& config, absl::Duration length, SimulationOptions* options) {
  if (config.time_between_failures() <= 0) return;
  for (size_t i = 0; i < options->instances.size(); ++i) {
    Random random(MixSeed(options->seed, i), kFailureStream);
    absl::Duration time;
    while (true) {
      time += absl::Seconds(config.time_between_failures() * random.Exponential());
      if (time > length) break;
      options->failures.push_back({.time = time,
                                   .instance = static_cast<int>(i),
                                   .down = absl::Seconds(config.restart_time())});
      time += absl::Seconds(config.restart_time());
    }
  }
}

absl::StatusOr<Workload> ReadSimulatedWorkload(const Config& config) {
  const int num_requests = NumCompatRequests(config);
  Workload workload;
  if (!config.trace().empty()) {
    ASSIGN_OR_RETURN(const std::string content, ReadFile(config.trace()));
    TraceOptions options;
    options.seed = static_cast<uint64_t>(config.seed());
    options.max_requests = static_cast<int>(config.requests());
    return ReadTrace(content, options);
  }
  if (!config.lengths().empty() || !config.synthetic_lengths().empty()) {
    ASSIGN_OR_RETURN(const std::vector<RequestLengths> lengths, LoadFirstCompatLengths(config));
    for (const RequestLengths& length : lengths) {
      workload.requests.push_back(
          {.prompt_tokens = length.prompt_len, .output_tokens = std::max(1, length.output_len)});
    }
    return workload;
  }
  ASSIGN_OR_RETURN(const LengthDistribution prompt,
                   NameOption("prompt-tokens", LengthDistribution::Parse(config.prompt_tokens())));
  ASSIGN_OR_RETURN(const LengthDistribution output,
                   NameOption("output-tokens", LengthDistribution::Parse(config.output_tokens())));
  return DrawWorkload({.num_requests = num_requests, .prompt = prompt, .output = output},
                      static_cast<uint64_t>(config.seed()));
}

absl::StatusOr<std::vector<double>> ReadSimulatedRates(const Config& config,
                                                       const Workload& workload) {
  if (!config.rates().empty()) return NumbersOf(config.rates());
  if (workload.has_arrivals) return std::vector<double>{workload.Rate()};
  return std::vector<double>{1};
}

Workload AtRate(const Config& config, Workload workload, double rate) {
  const bool by_trace = config.arrivals() == "trace" || config.arrivals() == "auto";
  if (workload.has_arrivals && by_trace) {
    if (!config.rates().empty()) ScaleArrivals(workload, rate);
    return workload;
  }
  const double burstiness = config.arrivals() == "constant"
                                ? std::numeric_limits<double>::infinity()
                            : config.arrivals() == "gamma" ? config.burstiness()
                                                           : 1.0;
  SetArrivals(workload, {.rate = rate, .burstiness = burstiness},
              static_cast<uint64_t>(config.seed()));
  return workload;
}

}  // namespace tandem
