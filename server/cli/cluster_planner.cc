#include "server/cli/cluster_planner.h"

#include <algorithm>
#include <cmath>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "engine/core/status_macros.h"
#include "scheduler/planner/phase_search.h"
#include "server/bench/run_series.h"
#include "server/cli/cluster_file.h"
#include "server/cli/cluster_options.h"
#include "server/cli/option_value.h"

namespace tandem {
namespace {

constexpr int kDefaultRequests = 2000;
constexpr int kDefaultSeeds = 3;
// Below that a placement counts as one that serves nothing, and simulating it would take long.
constexpr double kLeastRate = 0.01;

int Scaled(int tokens, double factor) {
  return std::max(1, static_cast<int>(std::lround(tokens * factor)));
}

double Gibibytes(int64_t bytes) { return static_cast<double>(bytes) / (1 << 30); }

}  // namespace

absl::StatusOr<ClusterPlanner> ClusterPlanner::Create(const Config& given) {
  ClusterPlanner planner;
  Config& config = planner.config_ = given;
  if (config.requests() == 0) config.set_requests(kDefaultRequests);
  ASSIGN_OR_RETURN(planner.profile_, ReadProfile(config));
  ASSIGN_OR_RETURN(planner.cluster_, ReadCluster(config));
  planner.affinity_ = config.affinity() == "high" ? NodeAffinity::kHigh : NodeAffinity::kLow;
  planner.num_threads_ = config.threads() > 0
                             ? static_cast<int>(config.threads())
                             : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  ClusterScorerOptions& scorer = planner.scorer_;
  ASSIGN_OR_RETURN(
      scorer.targets,
      NameOption("goodput", ParseTargets({config.goodput().begin(), config.goodput().end()})));
  if (scorer.targets.IsEmpty()) {
    return absl::InvalidArgumentError("--goodput is required: which targets are to be met");
  }
  const int num_seeds = config.seeds() > 0 ? static_cast<int>(config.seeds()) : kDefaultSeeds;
  scorer.num_warmup = static_cast<int>(std::min(config.warmup_requests(), config.requests() / 4));
  scorer.search = {
      .target = config.attainment(), .tolerance = config.tolerance(), .min_rate = kLeastRate};
  for (int seed = 0; seed < num_seeds; ++seed) {
    Config of_seed = config;
    of_seed.set_seed(config.seed() + seed);
    ASSIGN_OR_RETURN(Workload workload, ReadSimulatedWorkload(of_seed));
    of_seed.set_rates("given");  // so that a trace's own times are scaled
    planner.seeds_.emplace_back(std::move(of_seed), std::move(workload));
  }
  RETURN_IF_ERROR(planner.CheckLengths());
  return planner;
}

absl::Status ClusterPlanner::CheckLengths() const {
  int64_t most = 0, num_requests = 0, num_too_long = 0;
  for (const InstanceProfile& profile : profiles()) most = std::max(most, KvTokens(profile));
  for (const auto& [config, workload] : seeds_) {
    for (const TimedRequest& request : workload.requests) {
      num_too_long += request.prompt_tokens + request.output_tokens > most;
      ++num_requests;
    }
  }
  const double share = num_requests == 0 ? 0 : static_cast<double>(num_too_long) / num_requests;
  if (most == 0 || share <= 1 - config_.attainment()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrFormat(
      "%g%% of the requests, prompt and answer, are longer than the %d tokens of KV that an "
      "instance has room for, so none serves %g%% of them: --kv-tokens, or shorter ones",
      100 * share, most, 100 * config_.attainment()));
}

InstanceRanks ClusterPlanner::ShapeOf(const InstanceProfile& profile) const {
  return {.tp = profile.tp,
          .pp = profile.pp,
          .threads = profile.threads,
          .devices_per_rank = DevicesPerRank(cluster_, profile.threads)};
}

std::vector<InstanceRanks> ClusterPlanner::Shapes() const {
  std::vector<InstanceRanks> shapes;
  for (const InstanceProfile& profile : profiles()) {
    const InstanceRanks shape = ShapeOf(profile);
    const bool is_known = std::find(shapes.begin(), shapes.end(), shape) != shapes.end();
    if (!is_known && shape.NumDevices() <= cluster_.MaxDevicesPerNode()) shapes.push_back(shape);
  }
  return shapes;
}

std::vector<ClusterPlacement> ClusterPlanner::Candidates() const {
  std::vector<ClusterPlacement> candidates =
      EnumerateClusters(Shapes(), affinity_ == NodeAffinity::kLow ? cluster_.MaxDevicesPerNode()
                                                                  : cluster_.NumDevices());
  for (const InstanceProfile& profile : profiles()) {
    const InstanceRanks shape = ShapeOf(profile);
    if (shape.NumDevices() <= cluster_.MaxDevicesPerNode()) continue;
    candidates.push_back({.num_mixed = 1, .mixed = shape});
  }
  return candidates;
}

int64_t ClusterPlanner::KvTokens(const InstanceProfile& profile) const {
  return config_.kv_tokens() > 0 ? config_.kv_tokens() : profile.num_kv_tokens;
}

absl::StatusOr<DeviceMemory> ClusterPlanner::MemoryOf(const ClusterPlacement& placement) const {
  const auto bytes = [&](int count, const InstanceRanks& shape) -> absl::StatusOr<int64_t> {
    if (count == 0) return 0;
    ASSIGN_OR_RETURN(const InstanceProfile profile,
                     FindProfile(profiles(), shape.tp, shape.pp, shape.threads));
    return (profile.weight_bytes + KvTokens(profile) * profile.kv_bytes_per_token) /
           shape.NumDevices();
  };
  DeviceMemory memory;
  ASSIGN_OR_RETURN(memory.prefill, bytes(placement.num_prefill, placement.prefill));
  ASSIGN_OR_RETURN(memory.decode, bytes(placement.num_decode, placement.decode));
  ASSIGN_OR_RETURN(memory.mixed, bytes(placement.num_mixed, placement.mixed));
  return memory;
}

absl::StatusOr<std::vector<InstanceNodes>> ClusterPlanner::Copies(const ClusterPlacement& placement,
                                                                  int max_copies) const {
  ASSIGN_OR_RETURN(const DeviceMemory memory, MemoryOf(placement));
  std::vector<InstanceNodes> copies =
      PlaceCopies(cluster_, placement, memory, affinity_, max_copies);
  if (!copies.empty()) return copies;
  if (!PlaceCopies(cluster_, placement, {}, affinity_, 1).empty()) {
    return absl::FailedPreconditionError(
        absl::StrFormat("weights and KV take %.2f GiB of each device, which no node has room for",
                        Gibibytes(memory.Max())));
  }
  return absl::FailedPreconditionError("no nodes have the devices for it");
}

absl::StatusOr<SimulationOptions> ClusterPlanner::SimulationOf(const ClusterPlacement& placement,
                                                               const PlanScenario& scenario) const {
  ASSIGN_OR_RETURN(const std::vector<InstanceNodes> copies, Copies(placement, 1));
  Config config = config_;
  config.set_kv_tokens(std::llround(config.kv_tokens() * scenario.kv_tokens));
  Profile profile = profile_;
  for (InstanceProfile& instance : profile.instances) {
    instance.num_kv_tokens = std::llround(instance.num_kv_tokens * scenario.kv_tokens);
    if (scenario.change_latency) scenario.change_latency(&instance.latency);
  }
  ASSIGN_OR_RETURN(SimulationOptions options, MakeSimulationOptions(config, profile, placement));
  options.nodes = copies.front();
  options.link_bytes_per_second = cluster_.within_bytes_per_second * scenario.link_bandwidth;
  options.node_bytes_per_second = cluster_.between_bytes_per_second * scenario.link_bandwidth;
  options.network_delay = cluster_.latency;
  // Looking for prefixes that no two prompts share would only take time.
  for (SimInstanceOptions& instance : options.instances) {
    instance.scheduler.prefix_caching &= SharesPrefixes();
  }
  if (IsPrefillAlone(placement)) MakePrefillAlone(&options);
  if (IsDecodeAlone(placement)) MakeDecodeAlone(&options);
  return options;
}

absl::StatusOr<ClusterRanking> ClusterPlanner::Rank(
    absl::Span<const ClusterPlacement> candidates, const PlanScenario& scenario,
    std::function<void(int done, int all)> progress) const {
  std::vector<std::pair<Config, Workload>> seeds = seeds_;
  for (auto& [config, workload] : seeds) {
    for (TimedRequest& request : workload.requests) {
      request.prompt_tokens = Scaled(request.prompt_tokens, scenario.prompt_tokens);
      request.output_tokens = Scaled(request.output_tokens, scenario.output_tokens);
    }
  }
  ClusterScorerOptions options = scorer_;
  options.targets = options.targets.Scaled(scenario.targets);
  if (scenario.tolerance > 0) options.search.tolerance = scenario.tolerance;
  options.make_workload = [&seeds](double rate, int seed) {
    return AtRate(seeds[seed].first, seeds[seed].second, rate);
  };
  ClusterScorerOptions prefill = options, decode = options;
  prefill.targets = PrefillTargets(options.targets);
  prefill.make_workload = [&options](double rate, int seed) {
    Workload workload = options.make_workload(rate, seed);
    for (TimedRequest& request : workload.requests) request.output_tokens = 1;
    return workload;
  };
  decode.targets = DecodeTargets(options.targets);
  const auto score = [&](const ClusterPlacement& placement, int seed,
                         const RateGuess& guess) -> absl::StatusOr<SeedScore> {
    ASSIGN_OR_RETURN(const SimulationOptions cluster, SimulationOf(placement, scenario));
    const ClusterScorerOptions& scorer = IsPrefillAlone(placement)  ? prefill
                                         : IsDecodeAlone(placement) ? decode
                                                                    : options;
    return ScoreSeed(cluster, scorer, seed, guess);
  };
  ClusterSearchOptions search = {.num_seeds = num_seeds(),
                                 .tolerance = options.search.tolerance,
                                 .least = scenario.least,
                                 .near = scenario.near};
  search.threads = {.num_threads = num_threads_, .progress = std::move(progress)};
  return RankClusters(candidates, score, search);
}

bool ClusterPlanner::SharesPrefixes() const {
  return std::ranges::any_of(seeds_.front().second.requests, [](const TimedRequest& request) {
    return !request.block_ids.empty();
  });
}

double ClusterPlanner::MeanPromptTokens() const {
  double sum = 0, count = 0;
  for (const auto& [config, workload] : seeds_) {
    for (const TimedRequest& request : workload.requests) sum += request.prompt_tokens;
    count += static_cast<double>(workload.requests.size());
  }
  return count == 0 ? 0 : sum / count;
}

int ClusterPlanner::LongestRequest() const {
  int longest = 0;
  for (const auto& [config, workload] : seeds_) {
    for (const TimedRequest& request : workload.requests) {
      longest = std::max(longest, request.prompt_tokens + request.output_tokens);
    }
  }
  return longest;
}

std::string ClusterPlanner::WorkloadName() const {
  if (!config_.trace().empty()) return config_.trace();
  if (!config_.lengths().empty()) return config_.lengths();
  if (!config_.synthetic_lengths().empty()) return config_.synthetic_lengths();
  return absl::StrCat(config_.prompt_tokens(), ":", config_.output_tokens());
}

std::string ClusterPlanner::ClusterName() const {
  const auto name = [](const NodeKind& kind) {
    return absl::StrFormat("%d x %d devices", kind.count, kind.num_devices);
  };
  std::vector<std::string> kinds;
  for (const NodeKind& kind : cluster_.kinds) kinds.push_back(name(kind));
  const char* affinity = cluster_.NumNodes() == 1          ? ""
                         : affinity_ == NodeAffinity::kLow ? ", low affinity"
                                                           : ", high affinity";
  return absl::StrCat(absl::StrJoin(kinds, " and "), affinity);
}

}  // namespace tandem
