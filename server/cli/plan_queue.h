// Queueing theory beside a plan: what M/D/1 says of the winner's prefill (DistServe, section 3.1).
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "scheduler/planner/cluster_search.h"
#include "server/cli/cluster_planner.h"

namespace tandem {

struct PrefillTheory {
  std::string reason;      // why it says nothing of this placement; empty: it does
  double prompt_s = 0;     // time of the mean prompt on one instance
  double rate = 0;         // requests per second of each prefill instance
  double formula_s = 0;    // mean TTFT; infinite: more than one prompt after another allows
  double simulated_s = 0;  // at the rates that the search found
};

// At the rates of `winner`, seed by seed. Errors as FindProfile.
absl::StatusOr<PrefillTheory> MakePrefillTheory(const ClusterPlanner& planner,
                                                const RankedCluster& winner);

// One line.
std::string PrefillTheoryText(const PrefillTheory& theory);
// null where it says nothing.
nlohmann::ordered_json PrefillTheoryJson(const PrefillTheory& theory);

}  // namespace tandem
