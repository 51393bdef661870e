#include "scheduler/planner/goodput_search.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "absl/types/span.h"
#include "engine/core/status_macros.h"

namespace tandem {

MeanInterval GoodputScore::DifferenceTo(const GoodputScore& other) const {
  if (samples.empty()) return {.mean = per_gpu - other.per_gpu};
  return PairedDifference(samples, other.samples);
}

std::vector<Placement> PlacementRanking::TiedWithWinner() const {
  std::vector<Placement> tied;
  if (!HasWinner()) return tied;
  const RankedPlacement& winner = ranked.front();
  for (size_t i = 1; i < ranked.size(); ++i) {
    const RankedPlacement& entry = ranked[i];
    const bool is_single = winner.score.samples.size() < 2;
    if (is_single && entry.placement.NumGpus() != winner.placement.NumGpus()) continue;
    if (entry.score.DifferenceTo(winner.score).HasZero()) tied.push_back(entry.placement);
  }
  return tied;
}

int64_t PlacementRanking::NumSimulations() const {
  return std::accumulate(
      ranked.begin(), ranked.end(), int64_t{0},
      [](int64_t sum, const RankedPlacement& entry) { return sum + entry.score.num_simulations; });
}

absl::StatusOr<PlacementRanking> RankPlacements(const std::vector<Placement>& candidates,
                                                const PlacementScorer& scorer,
                                                const SearchOptions& options) {
  std::vector<absl::StatusOr<GoodputScore>> scores =
      ScoreAll(absl::MakeConstSpan(candidates), scorer, options);
  PlacementRanking ranking;
  for (size_t i = 0; i < candidates.size(); ++i) {
    const absl::Status& status = scores[i].status();
    if (status.code() == absl::StatusCode::kFailedPrecondition) {
      ranking.unrunnable.push_back({candidates[i], std::string(status.message())});
      continue;
    }
    if (!status.ok()) return Annotate(status, candidates[i].ToString());
    ranking.ranked.push_back({candidates[i], *std::move(scores[i])});
  }
  std::ranges::stable_sort(ranking.ranked, [](const auto& a, const auto& b) {
    if (a.score.per_gpu != b.score.per_gpu) return a.score.per_gpu > b.score.per_gpu;
    return a.placement.NumGpus() < b.placement.NumGpus();
  });
  return ranking;
}

absl::StatusOr<double> BisectRate(const RateBounds& bounds, int num_gpus, const RateProbe& probe,
                                  int64_t& num_probes) {
  double low = 0, high = bounds.max_rate, best = 0;
  while (high - low > bounds.tolerance) {
    const double middle = (low + high) / 2;
    if (middle <= low || middle >= high) break;  // the tolerance is below what doubles tell apart
    ++num_probes;
    ASSIGN_OR_RETURN(const bool passes, probe(middle * num_gpus));
    (passes ? low : high) = middle;
    if (passes) best = middle;
  }
  return best;
}

}  // namespace tandem
