// The search for the placement of Tandem's own instances with the highest goodput per device, with
// prefill and decode apart, together, or both.
//
//   const auto ranking = RankClusters(EnumerateClusters(shapes, num_devices), scorer, {});
//   if (ranking->HasWinner()) Use(ranking->ranked.front());
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "scheduler/planner/cluster_placement.h"
#include "scheduler/planner/cluster_scorer.h"
#include "scheduler/planner/confidence_interval.h"
#include "scheduler/planner/score_all.h"

namespace tandem {

struct RankedCluster {
  ClusterPlacement placement;
  ClusterScore score;

  // Requests per second and device.
  double PerDevice() const { return score.rate.mean / placement.NumDevices(); }
  // What it serves per device less what `other` does, seed by seed: the seeds' arrivals and lengths
  // are the same, so what is lucky for one of both is so for the other.
  MeanInterval DifferenceTo(const RankedCluster& other) const;
  // Whether the seeds show no difference.
  bool IsTiedWith(const RankedCluster& other) const { return DifferenceTo(other).HasZero(); }
};

struct UnrunnableCluster {
  ClusterPlacement placement;
  std::string reason;
};

// Serves, with the first seed, so much less than the best of its kind that it was left at that.
struct OutclassedCluster {
  ClusterPlacement placement;
  double per_device_below = 0;  // it serves less than this
};

struct ClusterRanking {
  std::vector<RankedCluster> ranked;          // best first
  std::vector<OutclassedCluster> outclassed;  // in the order of the candidates
  std::vector<UnrunnableCluster> unrunnable;  // the same
  int64_t num_simulations = 0;

  // Whether the first of `ranked` serves at all; otherwise no placement meets the targets.
  bool HasWinner() const { return !ranked.empty() && ranked.front().score.rate.mean > 0; }
  // The best of those that do, or do not, keep prefill and decode apart; null: there is none.
  const RankedCluster* Best(bool is_disaggregated) const;
};

struct ClusterSearchOptions {
  int num_seeds = 1;
  double tolerance = 0.05;  // to which the scorer knows a rate
  // Those that serve less than this share of the best of their kind (apart, or not) with the first
  // seed are not searched further; 0: all are.
  double keep = 0.85;
  // The same for what serves less than this per device.
  double least = 0;
  // What some of them serve in a similar situation, by the same seeds: where their search begins.
  std::vector<RankedCluster> near;
  SearchOptions threads;
};

// The rate of one seed, searched for from a guess on. FAILED_PRECONDITION: the placement cannot
// run, for the reason in the message; other errors end the search. Called from several threads at
// once.
using ClusterScorer = std::function<absl::StatusOr<SeedScore>(const ClusterPlacement& placement,
                                                              int seed, const RateGuess& guess)>;

// Scores `candidates`: all of them with the first seed, those that are not outclassed with the
// others. Ranked by goodput per device, then fewer devices, then order of candidates. The result
// is the same for every number of threads.
absl::StatusOr<ClusterRanking> RankClusters(absl::Span<const ClusterPlacement> candidates,
                                            const ClusterScorer& scorer,
                                            const ClusterSearchOptions& options);

}  // namespace tandem
