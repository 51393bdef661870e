// The machines that placements of Tandem's own are made for, and which of them each instance stands
// on.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "scheduler/planner/cluster_placement.h"

namespace tandem {

// Nodes that are alike.
struct NodeKind {
  std::string name;
  int count = 1;
  int num_devices = 1;              // of each: what ranks run on, GPUs or cores
  int64_t device_memory_bytes = 0;  // of each device; 0: not known, whatever is put there fits
};

struct ClusterNodes {
  std::vector<NodeKind> kinds;
  int cores_per_device = 0;  // a rank takes the devices that its threads need; 0: one
  // Of each instance's link, for KV that stays on its node, and of each node's, for what leaves it;
  // each way.
  double within_bytes_per_second = std::numeric_limits<double>::infinity();
  double between_bytes_per_second = std::numeric_limits<double>::infinity();
  absl::Duration latency;  // of a message, one way

  int NumNodes() const;
  int NumDevices() const;
  int MaxDevicesPerNode() const;
  // "NAME-3" of the node with that index, counted through all kinds; "NAME" of a kind's only one.
  std::string NodeName(int node) const;
};

// How many devices a rank of `threads` (0: not known) takes.
int DevicesPerRank(const ClusterNodes& cluster, int threads);

// What instances of each role need of every device they take; 0: not known.
struct DeviceMemory {
  int64_t prefill = 0, decode = 0, mixed = 0;  // bytes

  int64_t Max() const { return std::max({prefill, decode, mixed}); }
};

// Low: all instances of a copy on one node, so that KV never leaves it (DistServe's Algorithm 2).
// High: anywhere, but together where they fit (Algorithm 1).
enum class NodeAffinity { kLow, kHigh };

// The node of each instance of one copy of a placement: prefill, decode, mixed ones.
using InstanceNodes = std::vector<int>;

// As many copies of `placement` as the cluster has room for, at most `max_copies`; empty where it
// has room for none. All ranks of an instance stand on one node, since they share memory. With high
// affinity the largest instance takes the first node that has room (first-fit decreasing), then the
// next; prefill and decode instances take turns, so that each node has some of both.
std::vector<InstanceNodes> PlaceCopies(const ClusterNodes& cluster,
                                       const ClusterPlacement& placement,
                                       const DeviceMemory& memory, NodeAffinity affinity,
                                       int max_copies = std::numeric_limits<int>::max());

}  // namespace tandem
