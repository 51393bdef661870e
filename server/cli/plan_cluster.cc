#include "server/cli/plan_cluster.h"

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "engine/core/status_macros.h"
#include "scheduler/planner/cluster_placement.h"
#include "scheduler/planner/cluster_scorer.h"
#include "scheduler/sim/profile.h"
#include "server/bench/run_series.h"
#include "server/cli/cluster_options.h"
#include "server/cli/compat_options.h"
#include "server/cli/progress_bar.h"

namespace tandem {
namespace {

using nlohmann::ordered_json;

constexpr int kDefaultRequests = 2000;
constexpr int kDefaultSeeds = 3;
// Below that a placement counts as one that serves nothing, and simulating it would take long.
constexpr double kLeastRate = 0.01;

struct ScoredCluster {
  ClusterPlacement placement;
  ClusterScore score;
};

struct ClusterPlan {
  std::string title;
  SloTargets targets;
  int num_devices = 0;
  std::vector<ScoredCluster> ranked;    // best first
  std::vector<std::string> unrunnable;  // and why
  absl::Duration elapsed;

  bool HasWinner() const { return !ranked.empty() && ranked.front().score.rate.mean > 0; }
};

std::vector<InstanceRanks> ShapesOf(const std::vector<InstanceProfile>& profiles) {
  std::vector<InstanceRanks> shapes;
  for (const InstanceProfile& profile : profiles) {
    const InstanceRanks shape{.tp = profile.tp, .pp = profile.pp};
    if (std::find(shapes.begin(), shapes.end(), shape) == shapes.end()) shapes.push_back(shape);
  }
  return shapes;
}

// Workloads of each seed, without arrivals.
absl::StatusOr<ClusterScorerOptions> MakeScorer(const Config& given) {
  Config config = given;
  if (config.requests() == 0) config.set_requests(kDefaultRequests);
  ClusterScorerOptions options;
  ASSIGN_OR_RETURN(options.targets,
                   ParseTargets({config.goodput().begin(), config.goodput().end()}));
  if (options.targets.IsEmpty()) {
    return absl::InvalidArgumentError("--goodput is required: which targets are to be met");
  }
  options.num_seeds = config.seeds() > 0 ? static_cast<int>(config.seeds()) : kDefaultSeeds;
  options.num_warmup = static_cast<int>(std::min(config.warmup_requests(), config.requests() / 4));
  options.search = {
      .target = config.attainment(), .tolerance = config.tolerance(), .min_rate = kLeastRate};
  std::vector<std::pair<Config, Workload>> seeds;
  for (int seed = 0; seed < options.num_seeds; ++seed) {
    config.set_seed(given.seed() + seed);
    ASSIGN_OR_RETURN(Workload workload, ReadSimulatedWorkload(config));
    config.set_rates("given");  // so that a trace's own times are scaled
    seeds.emplace_back(config, std::move(workload));
  }
  options.make_workload = [seeds = std::move(seeds)](double rate, int seed) {
    return AtRate(seeds[seed].first, seeds[seed].second, rate);
  };
  return options;
}

absl::StatusOr<ClusterPlan> MakePlan(const Config& config) {
  ASSIGN_OR_RETURN(const std::vector<InstanceProfile> profiles, ReadProfiles(config));
  ASSIGN_OR_RETURN(const ClusterScorerOptions scorer, MakeScorer(config));
  ClusterPlan plan{.targets = scorer.targets,
                   .num_devices = static_cast<int>(config.nodes() * config.gpus_per_node())};
  const std::string lengths =
      !config.trace().empty() ? config.trace()
      : !config.lengths().empty()
          ? config.lengths()
          : absl::StrCat(config.prompt_tokens(), ":", config.output_tokens());
  plan.title =
      absl::StrFormat("%s on %d devices, workload %s, %s for %g%% of requests; %d seeds",
                      profiles.front().model, plan.num_devices, lengths, TargetsText(plan.targets),
                      100 * config.attainment(), scorer.num_seeds);
  const std::vector<ClusterPlacement> candidates =
      EnumerateClusters(ShapesOf(profiles), plan.num_devices);
  if (candidates.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("no instances of ", config.profile(), " take ",
                                                   plan.num_devices, " devices exactly"));
  }
  ProgressBar bar;
  const absl::Time start = absl::Now();
  for (const ClusterPlacement& placement : candidates) {
    bar.Show("placement", static_cast<int>(plan.ranked.size() + plan.unrunnable.size()),
             static_cast<int>(candidates.size()));
    const absl::StatusOr<SimulationOptions> cluster =
        MakeSimulationOptions(config, profiles, placement);
    if (absl::IsFailedPrecondition(cluster.status())) {
      plan.unrunnable.push_back(
          absl::StrCat(placement.ToString(), ": ", cluster.status().message()));
      continue;
    }
    RETURN_IF_ERROR(cluster.status());
    ASSIGN_OR_RETURN(ClusterScore score, ScoreCluster(*cluster, scorer));
    plan.ranked.push_back({placement, std::move(score)});
  }
  plan.elapsed = absl::Now() - start;
  std::stable_sort(plan.ranked.begin(), plan.ranked.end(),
                   [](const ScoredCluster& a, const ScoredCluster& b) {
                     return a.score.rate.mean > b.score.rate.mean;
                   });
  return plan;
}

bool IsTied(const ClusterScore& a, const ClusterScore& b) {
  return std::abs(a.rate.mean - b.rate.mean) <= a.rate.half_width + b.rate.half_width;
}

// "TTFT 12.1%, TPOT 0.3%": what is missed just above the rate that holds.
std::string Misses(const ClusterScore& score) {
  std::vector<std::string> parts;
  const auto add = [&parts](const char* name, double share) {
    if (share > 0.0005) parts.push_back(absl::StrFormat("%s %.1f%%", name, 100 * share));
  };
  add("TTFT", score.ttft_missed);
  add("TPOT", score.tpot_missed);
  add("not served", score.unserved);
  return absl::StrJoin(parts, ", ");
}

// The best of those that do, or do not, keep prefill and decode apart; null: there is none.
const ScoredCluster* BestOf(const ClusterPlan& plan, bool is_disaggregated) {
  for (const ScoredCluster& scored : plan.ranked) {
    if ((scored.placement.num_prefill > 0) == is_disaggregated) return &scored;
  }
  return nullptr;
}

std::string ShapeFlags(const InstanceRanks& shape) {
  return absl::StrCat(shape.tp > 1 ? absl::StrCat(" --tp ", shape.tp) : "",
                      shape.pp > 1 ? absl::StrCat(" --pp ", shape.pp) : "");
}

// How to start it on one machine.
std::string LaunchCommand(const ClusterPlacement& placement) {
  std::vector<InstanceRanks> shapes;
  std::string command = "tandem serve --model MODEL";
  const auto add = [&](int count, const char* role, const InstanceRanks& shape) {
    if (count == 0) return;
    absl::StrAppend(&command, " --", role, " ", count);
    shapes.push_back(shape);
  };
  add(placement.num_prefill, "prefill", placement.prefill);
  add(placement.num_decode, "decode", placement.decode);
  add(placement.num_mixed, "mixed", placement.mixed);
  if (std::all_of(shapes.begin(), shapes.end(), [&](auto& s) { return s == shapes.front(); })) {
    return command + ShapeFlags(shapes.front());
  }
  std::vector<std::string> workers;
  const auto worker = [&](int count, const char* role, const InstanceRanks& shape) {
    if (count == 0) return;
    workers.push_back(
        absl::StrCat(count, " x tandem worker --role ", role, " --model MODEL", ShapeFlags(shape)));
  };
  worker(placement.num_prefill, "prefill", placement.prefill);
  worker(placement.num_decode, "decode", placement.decode);
  worker(placement.num_mixed, "mixed", placement.mixed);
  return absl::StrJoin(workers, "; ");
}

// Whether to keep prefill and decode apart, and why.
std::string Verdict(const ClusterPlan& plan) {
  const ScoredCluster* apart = BestOf(plan, true);
  const ScoredCluster* together = BestOf(plan, false);
  if (apart == nullptr || together == nullptr) return "";
  const bool is_apart = apart->score.rate.mean > together->score.rate.mean;
  const ScoredCluster& better = is_apart ? *apart : *together;
  const ScoredCluster& other = is_apart ? *together : *apart;
  if (IsTied(better.score, other.score)) {
    return absl::StrCat("prefill and decode apart or together: no difference that ",
                        plan.ranked.front().score.samples.size(), " seeds show\n");
  }
  const std::string misses = Misses(other.score);
  return absl::StrFormat("%s: %s serves %.3f requests/s%s\n",
                         is_apart ? "keep prefill and decode apart: the best that does not"
                                  : "do not disaggregate here: the best that does",
                         other.placement.ToString(), other.score.rate.mean,
                         misses.empty() ? "" : absl::StrCat("; above that it misses: ", misses));
}

std::string PlanTable(const ClusterPlan& plan) {
  std::string table = absl::StrFormat("%s\n\n%-40s %9s %9s %11s  %s\n", plan.title, "placement",
                                      "req/s", "+-", "per device", "missed above that");
  int64_t num_simulations = 0;
  for (const ScoredCluster& scored : plan.ranked) {
    const ClusterScore& score = scored.score;
    num_simulations += score.num_simulations;
    const bool is_tied = plan.HasWinner() && &scored != &plan.ranked.front() &&
                         IsTied(score, plan.ranked.front().score);
    absl::StrAppendFormat(&table, "%-40s %9.3f %9.3f %11.3f  %s%s\n", scored.placement.ToString(),
                          score.rate.mean, score.rate.half_width,
                          score.rate.mean / plan.num_devices, Misses(score),
                          is_tied ? "  (tied)" : "");
  }
  for (const std::string& reason : plan.unrunnable) {
    absl::StrAppend(&table, "cannot run  ", reason, "\n");
  }
  absl::StrAppend(&table, "\n");
  if (plan.HasWinner()) {
    const ClusterPlacement& winner = plan.ranked.front().placement;
    absl::StrAppend(&table, "winner    ", winner.ToString(), "\nstart     ", LaunchCommand(winner),
                    "\n", Verdict(plan));
  } else {
    absl::StrAppend(&table, "winner    none: no placement meets the targets at any rate\n");
  }
  absl::StrAppendFormat(&table, "search    %d simulations in %s\n", num_simulations,
                        absl::FormatDuration(absl::Trunc(plan.elapsed, absl::Milliseconds(10))));
  return table;
}

ordered_json PlanJson(const ClusterPlan& plan) {
  ordered_json placements = ordered_json::array();
  for (const auto& [placement, score] : plan.ranked) {
    placements.push_back({{"placement", placement.ToString()},
                          {"prefill", placement.num_prefill},
                          {"decode", placement.num_decode},
                          {"mixed", placement.num_mixed},
                          {"rate", score.rate.mean},
                          {"half_width", score.rate.half_width},
                          {"samples", score.samples},
                          {"missed",
                           {{"ttft", score.ttft_missed},
                            {"tpot", score.tpot_missed},
                            {"not_served", score.unserved}}}});
  }
  ordered_json json = {{"devices", plan.num_devices},
                       {"targets", TargetsText(plan.targets)},
                       {"placements", placements},
                       {"cannot_run", plan.unrunnable},
                       {"winner", nullptr}};
  if (plan.HasWinner()) {
    json["winner"] = plan.ranked.front().placement.ToString();
    json["start"] = LaunchCommand(plan.ranked.front().placement);
  }
  return json;
}

}  // namespace

absl::Status RunClusterPlan(const Config& config) {
  ASSIGN_OR_RETURN(const ClusterPlan plan, MakePlan(config));
  if (config.json()) {
    std::cout << PlanJson(plan).dump(1) << std::endl;
  } else {
    std::cout << PlanTable(plan) << std::flush;
  }
  return absl::OkStatus();
}

}  // namespace tandem
