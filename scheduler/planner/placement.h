// What a planner chooses between: how a model is spread over GPUs, and which such placements there
// are. Source: DistServe, OSDI'24, algorithms 1 and 2, with the bounds of its released search.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tandem {

// TP x PP GPUs.
struct Parallelism {
  int tp = 1;
  int pp = 1;

  int NumGpus() const { return tp * pp; }
  friend auto operator<=>(const Parallelism&, const Parallelism&) = default;
};

// One unit of serving: a prefill and a decode instance, or one that does both. Its layers are cut
// into `cross_node_pp` segments, one per node, and each phase's part of a segment again by that
// phase's `pp`. So KV moves within a node.
struct Placement {
  int cross_node_pp = 1;
  Parallelism prefill;                // of each segment; where colocated, of both phases
  std::optional<Parallelism> decode;  // none: colocated

  int NumGpus() const {
    return cross_node_pp * (prefill.NumGpus() + (decode ? decode->NumGpus() : 0));
  }
  int PrefillPp() const { return cross_node_pp * prefill.pp; }
  int DecodePp() const { return decode ? cross_node_pp * decode->pp : PrefillPp(); }
  // (pp_cross, tp_p, pp_p, tp_d, pp_d) as DistServe prints it; colocated (tp, pp).
  std::string ToString() const;
  friend auto operator<=>(const Placement&, const Placement&) = default;
};

// Reads what ToString writes, brackets and blanks optional; of four numbers cross_node_pp is 1.
// INVALID_ARGUMENT for anything else.
absl::StatusOr<Placement> ParsePlacement(absl::string_view text);

struct ClusterShape {
  int num_nodes = 1;
  int gpus_per_node = 8;

  int NumGpus() const { return num_nodes * gpus_per_node; }
};

// What TP and PP must divide.
struct ModelDivisors {
  int num_heads = 1;
  int num_layers = 1;
};

// Instances that do one phase, or both, on at most `max_gpus` and with at most `max_tp`, as
// colocated placements: by TP, then PP. (Algorithm 1 keeps TP within a node; the released search
// does not.)
std::vector<Placement> EnumerateInstances(const ModelDivisors& model, int max_gpus, int max_tp);

// Algorithm 2: prefill and decode share the nodes of their segments. In the order of the nested
// loops over cross_node_pp, prefill TP, PP, decode TP, PP.
std::vector<Placement> EnumerateLowAffinity(const ModelDivisors& model,
                                            const ClusterShape& cluster);

// One segment over all GPUs of the cluster, wherever they are: the network between nodes is as good
// as that within. The same order.
std::vector<Placement> EnumerateHighAffinity(const ModelDivisors& model,
                                             const ClusterShape& cluster);

// Where one segment of a low-affinity placement stands: its layers and GPUs of its node, prefill
// first.
struct SegmentLocation {
  int node = 0;
  int first_layer = 0, num_layers = 0;
  int first_prefill_gpu = 0, num_prefill_gpus = 0;
  int first_decode_gpu = 0, num_decode_gpus = 0;
};

// One location per segment, each on a node of its own; empty where the cluster has no room for it.
std::vector<SegmentLocation> LocateSegments(const Placement& placement, const ModelDivisors& model,
                                            const ClusterShape& cluster);

}  // namespace tandem
