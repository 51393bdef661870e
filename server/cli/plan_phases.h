// DistServe's Algorithm 1 in `tandem plan`: prefill and decode instances each for itself, and what
// is then worth simulating together.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "scheduler/planner/phase_search.h"
#include "server/cli/cluster_planner.h"

namespace tandem {

struct PhaseSearch {
  ClusterRanking prefill, decode;    // of one instance each, against the target of its phase
  std::vector<JoinedPhases> joined;  // those of the best of both that are simulated together
};

// What `tandem plan` chooses from.
struct PlanChoice {
  std::vector<ClusterPlacement> candidates;
  std::optional<PhaseSearch> phases;  // that they were found by
};

// All placements, or, with --phases independent, mixed ones and those that Algorithm 1 joins.
// INVALID_ARGUMENT: it does not apply to what the options ask for. `progress` as in SearchOptions.
absl::StatusOr<PlanChoice> FindChoice(const ClusterPlanner& planner, const PlanScenario& scenario,
                                      std::function<void(int done, int all)> progress);

// `ranking` is of the choice's candidates.
std::string PhasesTable(const PhaseSearch& phases, const ClusterRanking& ranking);
nlohmann::ordered_json PhasesJson(const PhaseSearch& phases, const ClusterRanking& ranking);

}  // namespace tandem
