// DistServe's Algorithm 1: where KV moves as fast between nodes as within, prefill and decode are
// chosen each for itself and then replicated until they carry the load.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "scheduler/planner/goodput_search.h"

namespace tandem {

// Rankings of instances of one phase; each is a colocated Placement with that phase alone.
struct PhasePlan {
  PlacementRanking prefill;
  PlacementRanking decode;

  bool HasWinner() const { return prefill.HasWinner() && decode.HasWinner(); }
  // Requests per second and GPU when the best of each are replicated in proportion; 0 without both.
  double GoodputPerGpu() const;
};

struct PhaseScorers {
  PlacementScorer prefill;  // against the TTFT target, decode left out
  PlacementScorer decode;   // against the TPOT target, prefill left out
};

absl::StatusOr<PhasePlan> RankPhases(const std::vector<Placement>& candidates,
                                     const PhaseScorers& scorers, const SearchOptions& options);

// How many instances of `per_gpu` goodput on `num_gpus` each carry `demand` requests per second.
int NumReplicas(double demand, double per_gpu, int num_gpus);

}  // namespace tandem
