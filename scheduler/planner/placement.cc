#include "scheduler/planner/placement.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace tandem {
namespace {

std::vector<Parallelism> Instances(const ModelDivisors& model, int max_gpus, int max_tp) {
  std::vector<Parallelism> instances;
  for (int tp = 1; tp <= std::min(max_tp, max_gpus); ++tp) {
    if (model.num_heads % tp != 0) continue;
    for (int pp = 1; tp * pp <= max_gpus; ++pp) {
      if (model.num_layers % pp == 0) instances.push_back({tp, pp});
    }
  }
  return instances;
}

// Pairs of `instances` as placements of `cross_node_pp` segments with at most `max_gpus` each.
void AppendPairs(const std::vector<Parallelism>& instances, int cross_node_pp, int max_gpus,
                 std::vector<Placement>& placements) {
  for (const Parallelism& prefill : instances) {
    for (const Parallelism& decode : instances) {
      if (prefill.NumGpus() + decode.NumGpus() > max_gpus) continue;
      placements.push_back({cross_node_pp, prefill, decode});
    }
  }
}

}  // namespace

std::string Placement::ToString() const {
  if (!decode) return absl::StrCat("(", prefill.tp, ", ", prefill.pp, ")");
  return absl::StrCat("(", cross_node_pp, ", ", prefill.tp, ", ", prefill.pp, ", ", decode->tp,
                      ", ", decode->pp, ")");
}

absl::StatusOr<Placement> ParsePlacement(absl::string_view text) {
  std::vector<int> numbers;
  bool is_valid = true;
  for (absl::string_view word : absl::StrSplit(text, absl::ByAnyChar("(), "), absl::SkipEmpty())) {
    int number = 0;
    is_valid = is_valid && absl::SimpleAtoi(word, &number) && number >= 1 && number <= 1024;
    numbers.push_back(number);
  }
  if (numbers.size() == 4) numbers.insert(numbers.begin(), 1);
  if (is_valid && numbers.size() == 2) return Placement{1, {numbers[0], numbers[1]}, std::nullopt};
  if (is_valid && numbers.size() == 5) {
    return Placement{numbers[0], {numbers[1], numbers[2]}, Parallelism{numbers[3], numbers[4]}};
  }
  return absl::InvalidArgumentError(
      absl::StrCat("expected a placement such as 2,1,1,1 (TP and PP of prefill, of decode), with "
                   "the nodes it spans in front, or 4,1 (TP and PP of one that does both), got \"",
                   text, "\""));
}

std::vector<Placement> EnumerateInstances(const ModelDivisors& model, int max_gpus, int max_tp) {
  std::vector<Placement> placements;
  for (const Parallelism& instance : Instances(model, max_gpus, max_tp)) {
    placements.push_back({1, instance, std::nullopt});
  }
  return placements;
}

std::vector<Placement> EnumerateLowAffinity(const ModelDivisors& model,
                                            const ClusterShape& cluster) {
  std::vector<Placement> placements;
  for (int cross = 1; cross <= cluster.num_nodes; ++cross) {
    if (model.num_layers % cross != 0) continue;
    // An instance's stages divide the layers of a segment.
    const ModelDivisors segment = {model.num_heads, model.num_layers / cross};
    AppendPairs(Instances(segment, cluster.gpus_per_node, cluster.gpus_per_node), cross,
                cluster.gpus_per_node, placements);
  }
  return placements;
}

std::vector<Placement> EnumerateHighAffinity(const ModelDivisors& model,
                                             const ClusterShape& cluster) {
  std::vector<Placement> placements;
  AppendPairs(Instances(model, cluster.NumGpus(), cluster.NumGpus()), 1, cluster.NumGpus(),
              placements);
  return placements;
}

std::vector<SegmentLocation> LocateSegments(const Placement& placement, const ModelDivisors& model,
                                            const ClusterShape& cluster) {
  const int num_prefill = placement.prefill.NumGpus();
  const int num_decode = placement.decode ? placement.decode->NumGpus() : 0;
  if (placement.cross_node_pp > cluster.num_nodes ||
      num_prefill + num_decode > cluster.gpus_per_node) {
    return {};
  }
  std::vector<SegmentLocation> locations;
  locations.reserve(placement.cross_node_pp);
  const int num_layers = model.num_layers / placement.cross_node_pp;
  for (int i = 0; i < placement.cross_node_pp; ++i) {
    locations.push_back({.node = i,
                         .first_layer = i * num_layers,
                         .num_layers = num_layers,
                         .first_prefill_gpu = 0,
                         .num_prefill_gpus = num_prefill,
                         .first_decode_gpu = num_prefill,
                         .num_decode_gpus = num_decode});
  }
  return locations;
}

}  // namespace tandem
