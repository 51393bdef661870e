#include "scheduler/planner/cluster_search.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "engine/core/status_macros.h"

namespace tandem {
namespace {

// Candidates that are scored without knowing of each other: enough for the cores of a machine.
constexpr size_t kRound = 16;
// From what keeps a candidate in the search to what it serves is not far.
constexpr double kStepFromLeast = 1.25;

struct Task {
  size_t candidate = 0;
  int seed = 0;
  RateGuess guess;
};

class Ranker {
 public:
  Ranker(absl::Span<const ClusterPlacement> candidates, const ClusterScorer& scorer,
         const ClusterSearchOptions& options)
      : candidates_(candidates),
        scorer_(scorer),
        options_(options),
        scores_(candidates.size()),
        num_all_(static_cast<int>(candidates.size())) {}

  absl::StatusOr<ClusterRanking> Rank() {
    // What is known to serve says of the others what they have to.
    std::vector<size_t> order(candidates_.size());
    std::iota(order.begin(), order.end(), size_t{0});
    const auto unknown =
        std::stable_partition(order.begin(), order.end(),
                              [this](size_t candidate) { return Near(candidate, 0).rate > 0; });
    const auto num_known = static_cast<size_t>(unknown - order.begin());
    const absl::Span<const size_t> all = order;
    RETURN_IF_ERROR(ScoreRound(all.first(num_known)));
    for (size_t begin = num_known; begin < all.size(); begin += kRound) {
      RETURN_IF_ERROR(ScoreRound(all.subspan(begin, kRound)));
    }
    RETURN_IF_ERROR(ScoreOtherSeeds());
    for (size_t i = 0; i < candidates_.size(); ++i) {
      if (scores_[i].empty()) continue;  // cannot run
      for (const SeedScore& seed : scores_[i]) ranking_.num_simulations += seed.num_simulations;
      if (IsOutclassed(i)) {
        ranking_.outclassed.push_back(
            {candidates_[i], scores_[i][0].failing / candidates_[i].NumDevices()});
      } else {
        ranking_.ranked.push_back({candidates_[i], Combine(scores_[i])});
      }
    }
    std::ranges::stable_sort(ranking_.ranked, [](const RankedCluster& a, const RankedCluster& b) {
      if (a.PerDevice() != b.PerDevice()) return a.PerDevice() > b.PerDevice();
      return a.placement.NumDevices() < b.placement.NumDevices();
    });
    return std::move(ranking_);
  }

 private:
  // What keeps a candidate in the search, per device.
  double Least(size_t candidate) const {
    return std::max(options_.least,
                    options_.keep * best_[candidates_[candidate].IsDisaggregated()]);
  }

  bool IsOutclassed(size_t candidate) const {
    return scores_[candidate][0].rate / candidates_[candidate].NumDevices() < Least(candidate);
  }

  // From what the candidate is known to serve; of rate 0 where nothing is.
  RateGuess Near(size_t candidate, size_t seed) const {
    const auto found =
        std::ranges::find(options_.near, candidates_[candidate], &RankedCluster::placement);
    if (found == options_.near.end() || seed >= found->score.falls.size()) return {.rate = 0};
    const double rate = found->score.samples[seed], fall = found->score.falls[seed];
    if (fall == 0) return {.rate = 0};
    return {.rate = rate, .step = kStepFromLeast, .fall = fall};
  }

  // The first seed of some candidates.
  absl::Status ScoreRound(absl::Span<const size_t> candidates) {
    std::vector<Task> tasks;
    for (size_t i : candidates) {
      Task& task = tasks.emplace_back(Task{.candidate = i});
      const double least = Least(i) * candidates_[i].NumDevices();
      if (const RateGuess near = Near(i, 0); near.rate > 0) {
        task.guess = near;
      } else if (least > 0) {
        task.guess = {.rate = least, .step = kStepFromLeast, .is_least = true};
      }
    }
    RETURN_IF_ERROR(Score(tasks));
    for (size_t i : candidates) {
      if (scores_[i].empty()) continue;
      double& best = best_[candidates_[i].IsDisaggregated()];
      best = std::max(best, scores_[i][0].rate / candidates_[i].NumDevices());
    }
    return absl::OkStatus();
  }

  // What serves nothing with the first seed is not tried with others.
  absl::Status ScoreOtherSeeds() {
    std::vector<Task> tasks;
    for (size_t i = 0; i < candidates_.size(); ++i) {
      if (scores_[i].empty() || scores_[i][0].rate == 0 || IsOutclassed(i)) continue;
      for (int seed = 1; seed < options_.num_seeds; ++seed) {
        RateGuess guess = {.rate = scores_[i][0].rate, .step = 1 + options_.tolerance};
        if (const RateGuess near = Near(i, seed); near.rate > 0 && Near(i, 0).rate > 0) {
          guess.rate *= near.rate / Near(i, 0).rate;
          guess.fall = near.fall;
        }
        tasks.push_back({i, seed, guess});
      }
    }
    num_all_ += static_cast<int>(tasks.size());
    return Score(tasks);
  }

  absl::Status Score(const std::vector<Task>& tasks) {
    const std::function<absl::StatusOr<SeedScore>(const Task&)> score = [&](const Task& task) {
      return scorer_(candidates_[task.candidate], task.seed, task.guess);
    };
    SearchOptions options = options_.threads;
    options.progress = [&](int done, int) {
      if (options_.threads.progress) options_.threads.progress(num_done_ + done, num_all_);
    };
    std::vector<absl::StatusOr<SeedScore>> results =
        ScoreAll(absl::MakeConstSpan(tasks), score, options);
    num_done_ += static_cast<int>(tasks.size());
    for (size_t i = 0; i < tasks.size(); ++i) {
      const ClusterPlacement& placement = candidates_[tasks[i].candidate];
      const absl::Status& status = results[i].status();
      if (absl::IsFailedPrecondition(status)) {
        ranking_.unrunnable.push_back({placement, std::string(status.message())});
        continue;
      }
      if (!status.ok()) return Annotate(status, placement.ToString());
      scores_[tasks[i].candidate].push_back(*results[i]);
    }
    return absl::OkStatus();
  }

  const absl::Span<const ClusterPlacement> candidates_;
  const ClusterScorer& scorer_;
  const ClusterSearchOptions& options_;
  std::vector<std::vector<SeedScore>> scores_;  // of each candidate, by seed
  double best_[2] = {0, 0};                     // per device, with the first seed: together, apart
  int num_done_ = 0, num_all_;
  ClusterRanking ranking_;
};

}  // namespace

MeanInterval RankedCluster::DifferenceTo(const RankedCluster& other) const {
  std::vector<double> mine = score.samples, others = other.score.samples;
  for (double& rate : mine) rate /= placement.NumDevices();
  for (double& rate : others) rate /= other.placement.NumDevices();
  return PairedDifference(mine, others);
}

const RankedCluster* ClusterRanking::Best(bool is_disaggregated) const {
  const auto best = std::find_if(ranked.begin(), ranked.end(), [&](const RankedCluster& entry) {
    return entry.placement.IsDisaggregated() == is_disaggregated;
  });
  return best == ranked.end() ? nullptr : &*best;
}

absl::StatusOr<ClusterRanking> RankClusters(absl::Span<const ClusterPlacement> candidates,
                                            const ClusterScorer& scorer,
                                            const ClusterSearchOptions& options) {
  return Ranker(candidates, scorer, options).Rank();
}

}  // namespace tandem
