// tandem plan: the placement with the highest goodput per GPU.
#include <algorithm>
#include <iostream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "engine/core/status_macros.h"
#include "scheduler/planner/goodput_search.h"
#include "scheduler/planner/independent_search.h"
#include "scheduler/planner/placement.h"
#include "scheduler/planner/simdistserve_scorer.h"
#include "server/cli/commands.h"
#include "server/cli/compat_options.h"
#include "server/cli/json_text.h"
#include "server/cli/plan_cluster.h"
#include "server/cli/plan_report.h"
#include "server/cli/plan_theory.h"
#include "server/cli/progress_bar.h"

namespace tandem {
namespace {

constexpr int kDistServeGpusPerNode = 8;

ClusterShape ClusterOf(const Config& config) {
  const int given = static_cast<int>(config.gpus_per_node());
  return {static_cast<int>(config.nodes()), given > 0 ? given : kDistServeGpusPerNode};
}

std::string Title(const Config& config, const CompatSlo& slo) {
  const std::string runs =
      config.seeds() > 0
          ? absl::StrFormat("steady state of %d requests after %d, %d seeds from %d",
                            config.horizon(), config.warmup_requests(), config.seeds(),
                            config.seed())
          : absl::StrFormat("%d requests, seed %d", NumCompatRequests(config), config.seed());
  return absl::StrFormat(
      "%s on %d x %d GPUs, %s affinity, %s, as %s plans it; %s\n"
      "P%g TTFT < %g ms, P%g TPOT < %g ms; rates to %g per GPU, within %g",
      config.model(), config.nodes(), ClusterOf(config).gpus_per_node, config.affinity(),
      config.backend(), config.compat(), runs, slo.ttft_percentile, slo.ttft_ms,
      slo.tpot_percentile, slo.tpot_ms, config.max_rate(), config.rate_tolerance());
}

absl::StatusOr<std::vector<CompatRun>> MakeRuns(const Config& config) {
  const auto seed = static_cast<uint32_t>(config.seed());
  if (config.seeds() > 0) {
    if (config.warmup_requests() >= config.horizon()) {
      return absl::InvalidArgumentError("--warmup-requests must be less than --horizon");
    }
    const auto horizon = static_cast<int>(config.horizon());
    ASSIGN_OR_RETURN(const std::vector<RequestLengths> pool, LoadCompatLengths(config, horizon));
    return MakeSteadyStateRuns(pool,
                               {.num_seeds = static_cast<int>(config.seeds()),
                                .num_requests = horizon,
                                .num_warmup = static_cast<int>(config.warmup_requests())},
                               seed);
  }
  CompatRun run;
  ASSIGN_OR_RETURN(run.lengths, LoadFirstCompatLengths(config));
  run.gaps = PoissonGaps(static_cast<int>(run.lengths.size()), seed);
  std::vector<CompatRun> runs;
  runs.push_back(std::move(run));
  return runs;
}

std::vector<Placement> MakeCandidates(const Config& config, const ModelDivisors& model) {
  const ClusterShape cluster = ClusterOf(config);
  if (config.phases() == "independent") {
    return EnumerateInstances(model, cluster.NumGpus(), cluster.gpus_per_node);
  }
  if (config.backend() == "vllm") {
    return EnumerateInstances(model, cluster.NumGpus(), cluster.NumGpus());
  }
  return config.affinity() == "high" ? EnumerateHighAffinity(model, cluster)
                                     : EnumerateLowAffinity(model, cluster);
}

absl::Status CheckSearchOptions(const Config& config) {
  if (config.phases() == "independent" &&
      (config.affinity() != "high" || config.backend() != "distserve")) {
    return absl::InvalidArgumentError(
        "--phases independent places prefill and decode apart: it needs --affinity high and "
        "--backend distserve");
  }
  return absl::OkStatus();
}

template <typename Json>
void Print(const Config& config, const std::string& table, const Json& json) {
  if (config.json()) {
    std::cout << JsonText(json) << std::endl;
  } else {
    std::cout << table << std::flush;
  }
}

absl::Status PlanCompat(const Config& config) {
  RETURN_IF_ERROR(CheckSearchOptions(config));
  ASSIGN_OR_RETURN(DistServeProfile profile, LoadCompatProfile(config));
  ASSIGN_OR_RETURN(const CompatSlo slo, ParseCompatSlo(config));
  ASSIGN_OR_RETURN(const ModelDivisors model, FindOptModel(config.model()));
  ASSIGN_OR_RETURN(std::vector<CompatRun> runs, MakeRuns(config));
  PlanReport report = {.title = Title(config, slo), .demand = config.demand()};
  report.rate_bounds = {.max_rate = config.max_rate(), .tolerance = config.rate_tolerance()};
  const SimDistServeScorer scorer(
      std::move(profile), {.model = config.model(), .slo = slo, .rate_bounds = report.rate_bounds},
      std::move(runs));
  report.num_threads = static_cast<int>(config.threads());
  if (report.num_threads == 0) {
    report.num_threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  }
  ProgressBar bar;
  const SearchOptions options = {
      .num_threads = report.num_threads,
      .progress = [&](int done, int all) { bar.Show("placement", done, all); }};
  const std::vector<Placement> candidates = MakeCandidates(config, model);
  const absl::Time start = absl::Now();
  if (config.phases() == "independent") {
    const PhaseScorers scorers = {[&](const Placement& p) { return scorer.ScorePrefill(p); },
                                  [&](const Placement& p) { return scorer.ScoreDecode(p); }};
    ASSIGN_OR_RETURN(const PhasePlan plan, RankPhases(candidates, scorers, options));
    report.elapsed = absl::Now() - start;
    Print(config, PhasePlanTable(plan, report), PhasePlanJson(plan, report));
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(report.ranking,
                   RankPlacements(
                       candidates, [&](const Placement& p) { return scorer.Score(p); }, options));
  report.elapsed = absl::Now() - start;
  if (report.ranking.HasWinner()) {
    report.segments =
        LocateSegments(report.ranking.ranked.front().placement, model, ClusterOf(config));
  }
  Print(config, PlanTable(report), PlanJson(report));
  return absl::OkStatus();
}

}  // namespace

absl::Status RunPlan(const Config& config) {
  if (config.theory()) return RunTheory(config);
  return config.compat().empty() ? RunClusterPlan(config) : PlanCompat(config);
}

}  // namespace tandem
