// Placements of Tandem's own instances on a number of devices: prefill and decode apart, mixed
// ones, or both.
#pragma once

#include <string>
#include <vector>

#include "absl/types/span.h"

namespace tandem {

// TP x PP ranks, one on each device.
struct InstanceRanks {
  int tp = 1;
  int pp = 1;

  int NumDevices() const { return tp * pp; }
  bool operator==(const InstanceRanks&) const = default;
};

// How many instances of each role. The shape of a role without instances means nothing.
struct ClusterPlacement {
  int num_prefill = 0;
  int num_decode = 0;
  int num_mixed = 0;
  InstanceRanks prefill, decode, mixed;

  int NumDevices() const;
  // "1 prefill + 1 decode", "2 mixed (TP 2)".
  std::string ToString() const;
  bool operator==(const ClusterPlacement&) const = default;
};

// All that take exactly `num_devices`, each role with one of `shapes`, and can serve: a mixed
// instance, or a prefill and a decode one. Mixed-only ones first.
std::vector<ClusterPlacement> EnumerateClusters(absl::Span<const InstanceRanks> shapes,
                                                int num_devices);

}  // namespace tandem
