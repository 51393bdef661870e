#include "scheduler/planner/placement_search.h"

#include <algorithm>
#include <optional>

#include "engine/core/status_macros.h"

namespace tandem {
namespace {

// Less of a gain than this by one more instance is none.
constexpr double kLeastGain = 0.01;

absl::StatusOr<double> Attainment(absl::Span<const PlannedInstance> instances,
                                  const ClusterPlacement& placement, const TrafficWindow& window,
                                  const ReplayOptions& options) {
  ASSIGN_OR_RETURN(const ServiceLevel level,
                   Replay(AssignRoles(instances, placement), window, options));
  return level.attainment;
}

ClusterPlacement OneMoreOfEach(ClusterPlacement placement) {
  for (int* count : {&placement.num_prefill, &placement.num_decode, &placement.num_mixed}) {
    if (*count > 0) ++*count;
  }
  return placement;
}

// The best of those with `step` instances more of one role; nothing where none can serve.
absl::StatusOr<std::optional<ScoredPlacement>> BestNeighbour(
    absl::Span<const PlannedInstance> instances, const ClusterPlacement& placement, int step,
    const TrafficWindow& window, const ReplayOptions& options) {
  std::optional<ScoredPlacement> best;
  for (int ClusterPlacement::*count :
       {&ClusterPlacement::num_prefill, &ClusterPlacement::num_decode,
        &ClusterPlacement::num_mixed}) {
    ClusterPlacement next = placement;
    next.*count += step;
    // What the cluster does without stays out of it.
    if (placement.*count == 0 || next.*count < 0 || !CanServe(next)) continue;
    ASSIGN_OR_RETURN(const double attainment, Attainment(instances, next, window, options));
    if (!best || attainment > best->attainment) best = {next, attainment};
  }
  return best;
}

}  // namespace

absl::StatusOr<std::vector<ScoredPlacement>> ScorePlacements(
    absl::Span<const PlannedInstance> instances, const TrafficWindow& window,
    const PlacementSearchOptions& options) {
  std::vector<ScoredPlacement> scored;
  for (const ClusterPlacement& placement :
       NearestPlacements(PlacementOf(instances), options.max_placements)) {
    const std::vector<PlannedInstance> assigned = AssignRoles(instances, placement);
    if (!CheckServable(assigned).ok()) continue;
    ASSIGN_OR_RETURN(const ServiceLevel level, Replay(assigned, window, options.replay));
    scored.push_back({placement, level.attainment});
  }
  std::stable_sort(scored.begin(), scored.end(),
                   [](const auto& a, const auto& b) { return a.attainment > b.attainment; });
  return scored;
}

absl::StatusOr<ClusterPlacement> FindReplicas(absl::Span<const PlannedInstance> instances,
                                              const ScoredPlacement& present,
                                              const TrafficWindow& window,
                                              const PlacementSearchOptions& options) {
  ScoredPlacement enough = present;
  for (int i = 0; i < options.max_added && enough.attainment < options.goal; ++i) {
    ASSIGN_OR_RETURN(auto more,
                     BestNeighbour(instances, enough.placement, 1, window, options.replay));
    if (more->attainment < enough.attainment + kLeastGain) {
      // More than one role may be short.
      more->placement = OneMoreOfEach(enough.placement);
      ASSIGN_OR_RETURN(more->attainment,
                       Attainment(instances, more->placement, window, options.replay));
      if (more->attainment < enough.attainment + kLeastGain) return present.placement;
    }
    enough = *more;
    if (enough.attainment >= options.goal) return enough.placement;
  }
  if (enough.attainment < options.goal) return present.placement;
  ReplayOptions with_headroom = options.replay;
  with_headroom.rate_scale *= options.headroom;
  while (true) {
    ASSIGN_OR_RETURN(const auto fewer,
                     BestNeighbour(instances, enough.placement, -1, window, with_headroom));
    if (!fewer || fewer->attainment < options.goal) return enough.placement;
    enough = *fewer;
  }
}

}  // namespace tandem
