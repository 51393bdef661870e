#include "scheduler/planner/planned_instance.h"

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "scheduler/router.h"

namespace tandem {
namespace {

constexpr InstanceRole kRoles[] = {InstanceRole::kPrefill, InstanceRole::kDecode,
                                   InstanceRole::kMixed};

int& CountOf(InstanceRole role, ClusterPlacement& placement) {
  switch (role) {
    case InstanceRole::kPrefill:
      return placement.num_prefill;
    case InstanceRole::kDecode:
      return placement.num_decode;
    case InstanceRole::kMixed:
      break;
  }
  return placement.num_mixed;
}

int NumChanges(const ClusterPlacement& a, const ClusterPlacement& b) {
  return (std::abs(a.num_prefill - b.num_prefill) + std::abs(a.num_decode - b.num_decode) +
          std::abs(a.num_mixed - b.num_mixed)) /
         2;
}

// Positions in `instances`, the busiest first.
std::vector<size_t> ByLoad(absl::Span<const PlannedInstance> instances) {
  std::vector<size_t> order(instances.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return instances[a].view.num_requests > instances[b].view.num_requests;
  });
  return order;
}

// Coefficients of one kind of step, from `from` to `to`.
void CopyPrefill(const StepLatency& from, StepLatency& to) {
  to.coefficients.prefill = from.coefficients.prefill;
  to.knows_prefill = true;
}
void CopyDecode(const StepLatency& from, StepLatency& to) {
  to.coefficients.decode = from.coefficients.decode;
  to.coefficients.large_decode = from.coefficients.large_decode;
  to.coefficients.large_decode_rows = from.coefficients.large_decode_rows;
  to.knows_decode = true;
}

struct StepKind {
  const char* name;
  bool StepLatency::*knows;
  void (*copy)(const StepLatency& from, StepLatency& to);
};
constexpr StepKind kStepKinds[] = {{"prefill", &StepLatency::knows_prefill, CopyPrefill},
                                   {"decode", &StepLatency::knows_decode, CopyDecode}};

}  // namespace

ClusterPlacement PlacementOf(absl::Span<const PlannedInstance> instances) {
  ClusterPlacement placement;
  for (const PlannedInstance& instance : instances) ++CountOf(instance.view.role, placement);
  return placement;
}

bool CanServe(const ClusterPlacement& placement) {
  return placement.num_mixed > 0 || (placement.num_prefill > 0 && placement.num_decode > 0);
}

absl::Status CheckServable(absl::Span<const PlannedInstance> instances) {
  Router router({});
  for (const PlannedInstance& instance : instances) {
    router.Update(instance.view, absl::UnixEpoch());
  }
  return router.CheckServable();
}

std::vector<ClusterPlacement> NearestPlacements(const ClusterPlacement& present, int limit) {
  const int num_instances = present.num_prefill + present.num_decode + present.num_mixed;
  std::vector<ClusterPlacement> placements;
  for (int num_prefill = 0; num_prefill <= num_instances; ++num_prefill) {
    for (int num_decode = 0; num_prefill + num_decode <= num_instances; ++num_decode) {
      ClusterPlacement placement = present;
      placement.num_prefill = num_prefill;
      placement.num_decode = num_decode;
      placement.num_mixed = num_instances - num_prefill - num_decode;
      if (CanServe(placement)) placements.push_back(placement);
    }
  }
  std::stable_sort(placements.begin(), placements.end(),
                   [&](const ClusterPlacement& a, const ClusterPlacement& b) {
                     return NumChanges(a, present) < NumChanges(b, present);
                   });
  if (static_cast<int>(placements.size()) > limit) placements.resize(limit);
  return placements;
}

std::vector<PlannedInstance> AssignRoles(absl::Span<const PlannedInstance> instances,
                                         const ClusterPlacement& placement) {
  ClusterPlacement left = placement;  // still to be given
  std::vector<std::optional<PlannedInstance>> assigned(instances.size());
  for (const size_t i : ByLoad(instances)) {
    int& wanted = CountOf(instances[i].view.role, left);
    if (wanted == 0) continue;
    --wanted;
    assigned[i] = instances[i];
  }
  std::vector<size_t> order = ByLoad(instances);
  std::reverse(order.begin(), order.end());  // whoever has least to do is switched first
  for (const size_t i : order) {
    for (const InstanceRole role : kRoles) {
      if (assigned[i] || CountOf(role, left) == 0) continue;
      --CountOf(role, left);
      assigned[i] = instances[i];
      assigned[i]->view.role = role;
    }
  }
  std::vector<PlannedInstance> result;
  for (std::optional<PlannedInstance>& instance : assigned) {
    if (instance) result.push_back(*std::move(instance));
  }
  for (const InstanceRole role : kRoles) {
    const auto model = std::find_if(instances.begin(), instances.end(),
                                    [role](const auto& other) { return other.view.role == role; });
    for (; CountOf(role, left) > 0; --CountOf(role, left)) {
      PlannedInstance& added =
          result.emplace_back(model == instances.end() ? instances.front() : *model);
      added.view.role = role;
      added.view.id = InstanceId(absl::StrCat("added-", result.size()));
    }
  }
  return result;
}

std::vector<RoleSwitch> SwitchesTo(absl::Span<const PlannedInstance> instances,
                                   absl::Span<const PlannedInstance> assigned) {
  std::vector<RoleSwitch> left;
  for (size_t i = 0; i < instances.size(); ++i) {
    const InstanceView& view = instances[i].view;
    if (view.role == assigned[i].view.role) continue;
    left.push_back(
        {.id = view.id, .epoch = view.epoch, .from = view.role, .to = assigned[i].view.role});
  }
  std::vector<RoleSwitch> ordered;
  ClusterPlacement placement = PlacementOf(instances);
  while (!left.empty()) {
    const auto after = [&placement](const RoleSwitch& change) {
      ClusterPlacement next = placement;
      --CountOf(change.from, next);
      ++CountOf(change.to, next);
      return next;
    };
    auto next = std::find_if(left.begin(), left.end(),
                             [&](const RoleSwitch& change) { return CanServe(after(change)); });
    if (next == left.end()) next = left.begin();
    placement = after(*next);
    ordered.push_back(*next);
    left.erase(next);
  }
  return ordered;
}

absl::Status ShareLatencies(std::vector<PlannedInstance>& instances) {
  const std::vector<PlannedInstance> given = instances;
  for (PlannedInstance& instance : instances) {
    for (const StepKind& kind : kStepKinds) {
      if (instance.view.latency.*kind.knows) continue;
      const PlannedInstance* teacher = nullptr;
      for (const PlannedInstance& other : given) {
        if (!(other.view.latency.*kind.knows)) continue;
        const bool is_alike = other.view.compute == instance.view.compute;
        if (teacher == nullptr || (is_alike && teacher->view.compute != other.view.compute)) {
          teacher = &other;
        }
      }
      if (teacher == nullptr) {
        return absl::FailedPreconditionError(absl::StrCat("no worker has made enough ", kind.name,
                                                          " steps yet to tell how long they take"));
      }
      kind.copy(teacher->view.latency, instance.view.latency);
    }
  }
  return absl::OkStatus();
}

}  // namespace tandem
