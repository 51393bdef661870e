// What `tandem plan` found among Tandem's own placements, as a table and as JSON.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "scheduler/planner/cluster_nodes.h"
#include "scheduler/planner/cluster_search.h"
#include "server/cli/launch_plan.h"
#include "server/cli/plan_crossover.h"
#include "server/cli/plan_phases.h"
#include "server/cli/plan_queue.h"
#include "server/cli/plan_sensitivity.h"

namespace tandem {

struct ClusterPlanReport {
  std::string model;
  std::string title;    // of the table
  std::string cluster;  // "2 x 8 devices"
  std::string targets;
  int num_devices = 0;  // of the cluster
  double demand = 0;    // requests per second that are to be served; 0: not said
  int num_threads = 1;  // of the search
  absl::Duration elapsed;
  ClusterRanking ranking;
  std::optional<PhaseSearch> phases;  // that led to its placements
  // Of the winner; empty without one.
  std::vector<std::vector<std::string>> node_names;  // of each copy's instances, by role
  LaunchPlan launch;                                 // of the first copy
  std::optional<PrefillTheory> theory;
  std::optional<Sensitivity> sensitivity;
  std::vector<Crossover> crossovers;  // that were asked for

  const RankedCluster& winner() const { return ranking.ranked.front(); }
  int NumCopies() const { return static_cast<int>(node_names.size()); }
};

// Whether to keep prefill and decode apart, and why; empty where only one of both can run.
std::string Verdict(const ClusterRanking& ranking);

// The winner, its copies, nodes and commands, and the verdict; or that there is none.
std::string WinnerText(const ClusterPlanReport& report);

std::string ClusterPlanTable(const ClusterPlanReport& report);
nlohmann::ordered_json ClusterPlanJson(const ClusterPlanReport& report);

}  // namespace tandem
