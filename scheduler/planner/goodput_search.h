// The search for the placement with the highest goodput per GPU, over candidates and a scorer that
// the caller brings: a simulator, a model, a table.
//
//   const auto ranking = RankPlacements(EnumerateLowAffinity(model, cluster), scorer, {});
//   if (ranking->HasWinner()) Use(ranking->ranked.front());
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "scheduler/planner/confidence_interval.h"
#include "scheduler/planner/placement.h"
#include "scheduler/planner/score_all.h"

namespace tandem {

// Goodput in requests per second and GPU.
struct GoodputScore {
  double per_gpu = 0;
  double half_width = 0;        // of the 95% confidence interval; 0: a single value
  std::vector<double> samples;  // one per seed, where there are several
  int64_t num_simulations = 0;

  // Of per_gpu, seed by seed where there are several: they share arrivals and lengths.
  MeanInterval DifferenceTo(const GoodputScore& other) const;
};

// FAILED_PRECONDITION: the placement cannot run, for the reason in the message; other errors end
// the search. Called from several threads at once, so it must not change anything.
using PlacementScorer = std::function<absl::StatusOr<GoodputScore>(const Placement&)>;

struct RankedPlacement {
  Placement placement;
  GoodputScore score;
};

struct UnrunnablePlacement {
  Placement placement;
  std::string reason;
};

struct PlacementRanking {
  std::vector<RankedPlacement> ranked;          // best first
  std::vector<UnrunnablePlacement> unrunnable;  // in the order of the candidates

  // Whether the first of `ranked` serves at all; otherwise no placement meets the targets.
  bool HasWinner() const { return !ranked.empty() && ranked.front().score.per_gpu > 0; }
  // Those that are not told apart from the winner: the interval of their difference to it includes
  // 0 or, of single values, they equal it on as many GPUs. In their order; none without a winner.
  std::vector<Placement> TiedWithWinner() const;
  int64_t NumSimulations() const;
};

// Scores all of `candidates`. Ranked by goodput per GPU, then fewer GPUs, then order of candidates;
// so the result is the same for every number of threads.
absl::StatusOr<PlacementRanking> RankPlacements(const std::vector<Placement>& candidates,
                                                const PlacementScorer& scorer,
                                                const SearchOptions& options);

// Whether a system serves at `rate` requests per second.
using RateProbe = std::function<absl::StatusOr<bool>(double rate)>;

struct RateBounds {
  double max_rate = 5;  // per GPU
  double tolerance = 0.25;
};

// DistServe's bisection: the highest midpoint, per GPU, at which `probe` passed for all of
// `num_gpus`; 0 if at none. Counts its probes in `num_probes`.
absl::StatusOr<double> BisectRate(const RateBounds& bounds, int num_gpus, const RateProbe& probe,
                                  int64_t& num_probes);

}  // namespace tandem
