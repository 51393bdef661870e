#include "scheduler/planner/cluster_nodes.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"

namespace tandem {
namespace {

struct Demand {
  int num_devices = 0;
  int64_t device_memory_bytes = 0;
};

// What is left of a node.
struct FreeNode {
  int num_devices = 0;
  int64_t device_memory_bytes = 0;

  bool HasRoomFor(const Demand& demand) const {
    const bool fits_memory =
        device_memory_bytes == 0 || demand.device_memory_bytes <= device_memory_bytes;
    return fits_memory && demand.num_devices <= num_devices;
  }
};

std::vector<FreeNode> AllFree(const ClusterNodes& cluster) {
  std::vector<FreeNode> nodes;
  for (const NodeKind& kind : cluster.kinds) {
    nodes.insert(nodes.end(), kind.count, {kind.num_devices, kind.device_memory_bytes});
  }
  return nodes;
}

// Of each instance: prefill, decode, mixed ones.
std::vector<Demand> DemandsOf(const ClusterPlacement& placement, const DeviceMemory& memory) {
  std::vector<Demand> demands(placement.num_prefill,
                              {placement.prefill.NumDevices(), memory.prefill});
  demands.insert(demands.end(), placement.num_decode,
                 {placement.decode.NumDevices(), memory.decode});
  demands.insert(demands.end(), placement.num_mixed, {placement.mixed.NumDevices(), memory.mixed});
  return demands;
}

// The largest first; among equal ones the first of each role, then the second of each.
std::vector<int> PlacingOrder(const ClusterPlacement& placement,
                              const std::vector<Demand>& demands) {
  const auto index_in_role = [&](int i) {
    if (i < placement.num_prefill) return i;
    i -= placement.num_prefill;
    return i < placement.num_decode ? i : i - placement.num_decode;
  };
  std::vector<int> order(demands.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    if (demands[a].num_devices != demands[b].num_devices) {
      return demands[a].num_devices > demands[b].num_devices;
    }
    return index_in_role(a) < index_in_role(b);
  });
  return order;
}

// All of them on the first node that has room for them together.
std::optional<InstanceNodes> TakeOneNode(const std::vector<Demand>& demands,
                                         std::vector<FreeNode>& nodes) {
  Demand all;
  for (const Demand& demand : demands) {
    all.num_devices += demand.num_devices;
    all.device_memory_bytes = std::max(all.device_memory_bytes, demand.device_memory_bytes);
  }
  const auto node = std::find_if(nodes.begin(), nodes.end(),
                                 [&](const FreeNode& free) { return free.HasRoomFor(all); });
  if (node == nodes.end()) return std::nullopt;
  node->num_devices -= all.num_devices;
  return InstanceNodes(demands.size(), static_cast<int>(node - nodes.begin()));
}

// Each, in that order, on the first node that has room for it.
std::optional<InstanceNodes> TakeAnyNodes(const std::vector<Demand>& demands,
                                          const std::vector<int>& order,
                                          std::vector<FreeNode>& nodes) {
  std::vector<FreeNode> left = nodes;
  InstanceNodes taken(demands.size());
  for (int i : order) {
    const auto node = std::find_if(left.begin(), left.end(), [&](const FreeNode& free) {
      return free.HasRoomFor(demands[i]);
    });
    if (node == left.end()) return std::nullopt;
    node->num_devices -= demands[i].num_devices;
    taken[i] = static_cast<int>(node - left.begin());
  }
  nodes = std::move(left);
  return taken;
}

}  // namespace

int ClusterNodes::NumNodes() const {
  return std::accumulate(kinds.begin(), kinds.end(), 0,
                         [](int sum, const NodeKind& kind) { return sum + kind.count; });
}

int ClusterNodes::NumDevices() const {
  return std::accumulate(kinds.begin(), kinds.end(), 0, [](int sum, const NodeKind& kind) {
    return sum + kind.count * kind.num_devices;
  });
}

int ClusterNodes::MaxDevicesPerNode() const {
  int most = 0;
  for (const NodeKind& kind : kinds) most = std::max(most, kind.num_devices);
  return most;
}

std::string ClusterNodes::NodeName(int node) const {
  for (const NodeKind& kind : kinds) {
    if (node < kind.count) return kind.count == 1 ? kind.name : absl::StrCat(kind.name, "-", node);
    node -= kind.count;
  }
  return "";
}

int DevicesPerRank(const ClusterNodes& cluster, int threads) {
  if (cluster.cores_per_device == 0) return 1;
  return std::max(1, (threads + cluster.cores_per_device - 1) / cluster.cores_per_device);
}

std::vector<InstanceNodes> PlaceCopies(const ClusterNodes& cluster,
                                       const ClusterPlacement& placement,
                                       const DeviceMemory& memory, NodeAffinity affinity,
                                       int max_copies) {
  std::vector<InstanceNodes> copies;
  if (placement.NumDevices() == 0) return copies;
  const std::vector<Demand> demands = DemandsOf(placement, memory);
  const std::vector<int> order = PlacingOrder(placement, demands);
  std::vector<FreeNode> nodes = AllFree(cluster);
  while (static_cast<int>(copies.size()) < max_copies) {
    std::optional<InstanceNodes> copy = TakeOneNode(demands, nodes);
    if (!copy && affinity == NodeAffinity::kHigh) copy = TakeAnyNodes(demands, order, nodes);
    if (!copy) break;
    copies.push_back(*std::move(copy));
  }
  return copies;
}

}  // namespace tandem
