#include "scheduler/planner/independent_search.h"

#include <algorithm>
#include <cmath>

#include "engine/core/log.h"
#include "engine/core/status_macros.h"

namespace tandem {

double PhasePlan::GoodputPerGpu() const {
  if (!HasWinner()) return 0;
  // A request per second takes 1 / per_gpu GPUs of each phase.
  return 1 / (1 / prefill.ranked.front().score.per_gpu + 1 / decode.ranked.front().score.per_gpu);
}

absl::StatusOr<PhasePlan> RankPhases(const std::vector<Placement>& candidates,
                                     const PhaseScorers& scorers, const SearchOptions& options) {
  PhasePlan plan;
  ASSIGN_OR_RETURN(plan.prefill, RankPlacements(candidates, scorers.prefill, options));
  ASSIGN_OR_RETURN(plan.decode, RankPlacements(candidates, scorers.decode, options));
  return plan;
}

int NumReplicas(double demand, double per_gpu, int num_gpus) {
  CHECK(per_gpu > 0 && num_gpus > 0);
  return std::max(1, static_cast<int>(std::ceil(demand / (per_gpu * num_gpus))));
}

}  // namespace tandem
