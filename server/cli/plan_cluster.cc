#include "server/cli/plan_cluster.h"

#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "engine/core/log.h"
#include "engine/core/status_macros.h"
#include "server/bench/run_series.h"
#include "server/cli/cluster_plan_report.h"
#include "server/cli/cluster_planner.h"
#include "server/cli/json_text.h"
#include "server/cli/plan_html.h"
#include "server/cli/progress_bar.h"
#include "server/cli/series_output.h"
#include "server/cli/text_file.h"

namespace tandem {
namespace {

// The search, with what there is to say of it.
absl::StatusOr<ClusterPlanReport> Search(const ClusterPlanner& planner) {
  const Config& config = planner.config();
  ClusterPlanReport report;
  report.model = planner.profiles().front().model;
  report.cluster = planner.ClusterName();
  report.targets = TargetsText(planner.targets());
  report.num_devices = planner.cluster().NumDevices();
  report.demand = config.demand();
  report.num_threads = planner.num_threads();
  report.title = absl::StrFormat("%s on %s, workload %s, %s for %g%% of requests; %d seeds",
                                 report.model, report.cluster, planner.WorkloadName(),
                                 report.targets, 100 * config.attainment(), planner.num_seeds());
  ProgressBar bar;
  const absl::Time start = absl::Now();
  ASSIGN_OR_RETURN(PlanChoice choice, FindChoice(planner, {}, [&](int done, int all) {
                     bar.Show("phase", done, all);
                   }));
  ASSIGN_OR_RETURN(report.ranking, planner.Rank(choice.candidates, {}, [&](int done, int all) {
    bar.Show("placement", done, all);
  }));
  report.phases = std::move(choice.phases);
  report.elapsed = absl::Now() - start;
  return report;
}

// The winner's copies, how to start one, and what theory says of it.
absl::Status DescribeWinner(const ClusterPlanner& planner, ClusterPlanReport* report) {
  const ClusterPlacement& winner = report->winner().placement;
  const ClusterNodes& cluster = planner.cluster();
  ASSIGN_OR_RETURN(const std::vector<InstanceNodes> copies,
                   planner.Copies(winner, cluster.NumDevices()));
  for (const InstanceNodes& nodes : copies) {
    std::vector<std::string>& names = report->node_names.emplace_back();
    for (int node : nodes) names.push_back(cluster.NodeName(node));
  }
  ASSIGN_OR_RETURN(report->launch, MakeLaunchPlan(planner, winner, report->node_names.front()));
  ASSIGN_OR_RETURN(report->theory, MakePrefillTheory(planner, report->winner()));
  return absl::OkStatus();
}

// Searches in situations that differ in something, as the options ask.
absl::Status Vary(const ClusterPlanner& planner, ClusterPlanReport* report) {
  const Config& config = planner.config();
  ASSIGN_OR_RETURN(const std::vector<std::string> names, ParseCrossovers(config.crossover()));
  for (const std::string& name : names) {
    ProgressBar bar;
    ASSIGN_OR_RETURN(Crossover crossover,
                     FindCrossover(planner, report->ranking, name,
                                   [&](int done, int all) { bar.Show(name, done, all); }));
    report->crossovers.push_back(std::move(crossover));
  }
  if (!config.sensitivity() || !report->ranking.HasWinner()) return absl::OkStatus();
  ProgressBar bar;
  ASSIGN_OR_RETURN(report->sensitivity,
                   FindSensitivity(planner, report->ranking,
                                   [&](int done, int all) { bar.Show("sensitivity", done, all); }));
  return absl::OkStatus();
}

// A warning only: files may have been renamed.
void CheckModel(const ClusterPlanner& planner) {
  const std::string& profiled = planner.profiles().front().model;
  const std::string& given = planner.config().model();
  if (given.empty() || absl::StrContains(given, profiled)) return;
  LOG(WARNING) << planner.config().profile() << " was taken of " << profiled << ", and --model is "
               << given << ": its step times may be others";
}

absl::Status WriteFiles(const Config& config, const ClusterPlanReport& report) {
  if (!config.html().empty()) {
    RETURN_IF_ERROR(
        WriteFile(config.html(), [&report](std::ostream& out) { out << ClusterPlanHtml(report); }));
  }
  if (config.compose().empty()) return absl::OkStatus();
  if (report.launch.compose.empty()) {
    return absl::FailedPreconditionError(
        report.ranking.HasWinner()
            ? "--compose: the winner stands on several nodes, a compose file describes one"
            : "--compose: there is no winner to start");
  }
  return WriteFile(config.compose(),
                   [&report](std::ostream& out) { out << report.launch.compose; });
}

}  // namespace

absl::Status RunClusterPlan(const Config& config) {
  RETURN_IF_ERROR(CheckWritable(config));
  RETURN_IF_ERROR(ParseCrossovers(config.crossover()).status());
  ASSIGN_OR_RETURN(const ClusterPlanner planner, ClusterPlanner::Create(config));
  CheckModel(planner);
  ASSIGN_OR_RETURN(ClusterPlanReport report, Search(planner));
  if (report.ranking.HasWinner()) RETURN_IF_ERROR(DescribeWinner(planner, &report));
  RETURN_IF_ERROR(Vary(planner, &report));
  if (config.json()) {
    std::cout << JsonText(ClusterPlanJson(report)) << std::endl;
  } else {
    std::cout << ClusterPlanTable(report) << std::flush;
  }
  return WriteFiles(config, report);
}

}  // namespace tandem
