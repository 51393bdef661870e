// Placements of Tandem's own instances on a number of devices: prefill and decode apart, mixed
// ones, or both.
#pragma once

#include <string>
#include <vector>

#include "absl/types/span.h"

namespace tandem {

// TP x PP ranks and the compute threads of each.
struct InstanceRanks {
  int tp = 1;
  int pp = 1;
  int threads = 0;  // 0: not known
  int devices_per_rank = 1;

  int NumDevices() const { return tp * pp * devices_per_rank; }
  bool operator==(const InstanceRanks&) const = default;
};

// How many instances of each role. The shape of a role without instances means nothing.
struct ClusterPlacement {
  int num_prefill = 0;
  int num_decode = 0;
  int num_mixed = 0;
  InstanceRanks prefill, decode, mixed;

  int NumDevices() const;
  // Whether prefill and decode have instances of their own.
  bool IsDisaggregated() const { return num_prefill > 0; }
  // "1 prefill + 1 decode", "2 mixed (TP 2, 4 threads)"; one thread, like one rank, is not named.
  std::string ToString() const;
  bool operator==(const ClusterPlacement&) const = default;
};

// A placement has no more instances than this. What serves more is made of copies, as in DistServe:
// goodput per device hardly changes with the scale, and the number of placements grows as its cube.
inline constexpr int kMaxInstances = 8;

// All that take at most `max_devices`, each role with one of `shapes`, and can serve: a mixed
// instance, or a prefill and a decode one. Mixed-only ones first.
std::vector<ClusterPlacement> EnumerateClusters(absl::Span<const InstanceRanks> shapes,
                                                int max_devices);

}  // namespace tandem
