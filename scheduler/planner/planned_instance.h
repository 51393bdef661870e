// The cluster's instances as planning sees them, and which of them would play which role.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "scheduler/instance_options.h"
#include "scheduler/instance_view.h"
#include "scheduler/planner/cluster_placement.h"

namespace tandem {

struct PlannedInstance {
  InstanceView view;
  InstanceOptions scheduler;  // its budgets
};

struct RoleSwitch {
  InstanceId id;
  uint64_t epoch = 0;
  InstanceRole from = InstanceRole::kMixed;
  InstanceRole to = InstanceRole::kMixed;
};

// How many there are of each role; shapes are left as they are.
ClusterPlacement PlacementOf(absl::Span<const PlannedInstance> instances);

// Whether somebody prefills and somebody decodes.
bool CanServe(const ClusterPlacement& placement);

// The same as the Router says, which also looks at whose KV fits whom: OK, or what is missing.
absl::Status CheckServable(absl::Span<const PlannedInstance> instances);

// All ways of giving the roles to as many instances that can serve, those with fewest changes
// first, at most `limit`. `present` itself is the first, if it can serve.
std::vector<ClusterPlacement> NearestPlacements(const ClusterPlacement& present, int limit);

// `instances`, which are not empty, in the roles of `placement`. Who has a role that is still
// wanted keeps it, the busiest first; where more are wanted than there are, copies of one with the
// role are added, where fewer, the least busy are left out. In the order given.
std::vector<PlannedInstance> AssignRoles(absl::Span<const PlannedInstance> instances,
                                         const ClusterPlacement& placement);

// What makes `instances` what `assigned`, the same ones, are: in an order in which they can serve
// after each switch, where they can at the beginning and the end and there is such an order.
std::vector<RoleSwitch> SwitchesTo(absl::Span<const PlannedInstance> instances,
                                   absl::Span<const PlannedInstance> assigned);

// Gives to instances that have not learnt how long one kind of step takes what others have: of
// the same kind (`compute`), else of any. FAILED_PRECONDITION: nobody knows; names the kind of
// step.
absl::Status ShareLatencies(std::vector<PlannedInstance>& instances);

}  // namespace tandem
