// What `tandem plan` prints of a search: a table, or JSON.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "scheduler/planner/independent_search.h"
#include "scheduler/planner/placement.h"

namespace tandem {

// One ranking and what it was made under.
struct PlanReport {
  std::string title;  // "facebook/opt-13b on 1 x 4 GPUs, ...", a line
  PlacementRanking ranking;
  std::vector<SegmentLocation> segments;  // of the winner; empty: no mapping to nodes
  RateBounds rate_bounds;                 // of the search
  double demand = 0;                      // requests per second; 0: not asked
  absl::Duration elapsed;
  int num_threads = 1;
};

// Placements best first, those that cannot run by reason, and the winner or "none". The table ends
// with the time that the search took. A winner that passed at the highest rates tried is said to be
// one.
std::string PlanTable(const PlanReport& report);
nlohmann::ordered_json PlanJson(const PlanReport& report);

// The same of Algorithm 1: `prefill` and `decode` are the rankings of `plan`'s phases.
std::string PhasePlanTable(const PhasePlan& plan, const PlanReport& report);
nlohmann::ordered_json PhasePlanJson(const PhasePlan& plan, const PlanReport& report);

}  // namespace tandem
