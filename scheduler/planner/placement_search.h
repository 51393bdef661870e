// Which roles the present instances should have, and how many instances the demand needs, by
// replaying recent traffic on each possibility.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "scheduler/planner/planned_instance.h"
#include "scheduler/planner/traffic_replay.h"

namespace tandem {

struct ScoredPlacement {
  ClusterPlacement placement;
  double attainment = 0;  // the share of requests within their targets
};

struct PlacementSearchOptions {
  ReplayOptions replay;
  double goal = 0.9;        // the attainment that is wanted
  int max_placements = 24;  // of the present instances: those with the fewest switches
  // What fewer instances must carry, in terms of the demand: as much as it may grow before it is
  // looked at again (ShiftOptions::ratio), so that they are enough a moment later too.
  double headroom = 1.3;
  int max_added = 8;  // instances, in a search for enough of them
};

// Of the present instances in all roles in which they can serve: those with the highest attainment
// first, of equal ones those with fewest switches. INVALID_ARGUMENT as Replay.
absl::StatusOr<std::vector<ScoredPlacement>> ScorePlacements(
    absl::Span<const PlannedInstance> instances, const TrafficWindow& window,
    const PlacementSearchOptions& options);

// From `placement`, of `attainment`, one instance of some role at a time: more until the goal is
// reached, or fewer as long as it is, with the whole demand and headroom on those that are left.
// Where more do not help, as many as there are.
absl::StatusOr<ClusterPlacement> FindReplicas(absl::Span<const PlannedInstance> instances,
                                              const ScoredPlacement& present,
                                              const TrafficWindow& window,
                                              const PlacementSearchOptions& options);

}  // namespace tandem
