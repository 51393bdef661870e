// DistServe's Algorithm 1 for Tandem's own instances: where KV moves as fast between nodes as
// within, an instance of each phase is simulated for itself, and both are then replicated until
// they carry the same load. Two small searches instead of one over all combinations.
#pragma once

#include <vector>

#include "scheduler/planner/cluster_search.h"
#include "scheduler/sim/simulation.h"
#include "scheduler/sim/slo_report.h"

namespace tandem {

// Placements of one phase: a prefill or a decode instance alone, which serves nobody by itself.
inline bool IsPrefillAlone(const ClusterPlacement& placement) {
  return placement.num_prefill > 0 && placement.num_decode + placement.num_mixed == 0;
}
inline bool IsDecodeAlone(const ClusterPlacement& placement) {
  return placement.num_decode > 0 && placement.num_prefill + placement.num_mixed == 0;
}

// `cluster` has the instances of one phase. Makes it one that serves that phase alone: a prefill
// instance ends a request with its first token; to decode instances KV comes in no time, from one
// that has room for all of it.
void MakePrefillAlone(SimulationOptions* cluster);
void MakeDecodeAlone(SimulationOptions* cluster);

// The target of the phase alone.
SloTargets PrefillTargets(const SloTargets& targets);
SloTargets DecodeTargets(const SloTargets& targets);

// What both phases together promise: each serves so much by itself.
struct JoinedPhases {
  ClusterPlacement placement;
  double promised = 0;  // requests per second

  double PerDevice() const { return promised / placement.NumDevices(); }
};

// ceil(demand / goodput) of each, as the algorithm has it. Both serve something.
JoinedPhases JoinForDemand(const RankedCluster& prefill, const RankedCluster& decode,
                           double demand);

// All numbers of both on at most `max_devices`, kMaxInstances in all, that promise most per device
// first; of equal ones, those on fewer devices.
std::vector<JoinedPhases> JoinInAllRatios(const RankedCluster& prefill, const RankedCluster& decode,
                                          int max_devices);

}  // namespace tandem
