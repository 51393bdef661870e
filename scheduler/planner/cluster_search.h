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
#include "scheduler/planner/score_all.h"

namespace tandem {

struct RankedCluster {
  ClusterPlacement placement;
  ClusterScore score;

  // Requests per second and device.
  double PerDevice() const { return score.rate.mean / placement.NumDevices(); }
  // Whether the intervals of both overlap.
  bool IsTiedWith(const RankedCluster& other) const;
};

struct UnrunnableCluster {
  ClusterPlacement placement;
  std::string reason;
};

struct ClusterRanking {
  std::vector<RankedCluster> ranked;          // best first
  std::vector<UnrunnableCluster> unrunnable;  // in the order of the candidates

  // Whether the first of `ranked` serves at all; otherwise no placement meets the targets.
  bool HasWinner() const { return !ranked.empty() && ranked.front().score.rate.mean > 0; }
  // The best of those that do, or do not, keep prefill and decode apart; null: there is none.
  const RankedCluster* Best(bool is_disaggregated) const;
  int64_t NumSimulations() const;
};

// FAILED_PRECONDITION: the placement cannot run, for the reason in the message; other errors end
// the search. Called from several threads at once.
using ClusterScorer = std::function<absl::StatusOr<ClusterScore>(const ClusterPlacement&)>;

// Scores all of `candidates`. Ranked by goodput per device, then fewer devices, then order of
// candidates; so the result is the same for every number of threads.
absl::StatusOr<ClusterRanking> RankClusters(absl::Span<const ClusterPlacement> candidates,
                                            const ClusterScorer& scorer,
                                            const SearchOptions& options);

}  // namespace tandem
