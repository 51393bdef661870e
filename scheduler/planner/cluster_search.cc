#include "scheduler/planner/cluster_search.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "engine/core/status_macros.h"

namespace tandem {

bool RankedCluster::IsTiedWith(const RankedCluster& other) const {
  const double half_width = score.rate.half_width / placement.NumDevices();
  const double other_half_width = other.score.rate.half_width / other.placement.NumDevices();
  return std::abs(PerDevice() - other.PerDevice()) <= half_width + other_half_width;
}

const RankedCluster* ClusterRanking::Best(bool is_disaggregated) const {
  const auto best = std::find_if(ranked.begin(), ranked.end(), [&](const RankedCluster& entry) {
    return entry.placement.IsDisaggregated() == is_disaggregated;
  });
  return best == ranked.end() ? nullptr : &*best;
}

int64_t ClusterRanking::NumSimulations() const {
  return std::accumulate(
      ranked.begin(), ranked.end(), int64_t{0},
      [](int64_t sum, const RankedCluster& entry) { return sum + entry.score.num_simulations; });
}

absl::StatusOr<ClusterRanking> RankClusters(absl::Span<const ClusterPlacement> candidates,
                                            const ClusterScorer& scorer,
                                            const SearchOptions& options) {
  std::vector<absl::StatusOr<ClusterScore>> scores = ScoreAll(candidates, scorer, options);
  ClusterRanking ranking;
  for (size_t i = 0; i < candidates.size(); ++i) {
    const absl::Status& status = scores[i].status();
    if (absl::IsFailedPrecondition(status)) {
      ranking.unrunnable.push_back({candidates[i], std::string(status.message())});
      continue;
    }
    if (!status.ok()) return Annotate(status, candidates[i].ToString());
    ranking.ranked.push_back({candidates[i], *std::move(scores[i])});
  }
  std::ranges::stable_sort(ranking.ranked, [](const RankedCluster& a, const RankedCluster& b) {
    if (a.PerDevice() != b.PerDevice()) return a.PerDevice() > b.PerDevice();
    return a.placement.NumDevices() < b.placement.NumDevices();
  });
  return ranking;
}

}  // namespace tandem
