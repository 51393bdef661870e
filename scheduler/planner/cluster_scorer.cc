#include "scheduler/planner/cluster_scorer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <stop_token>
#include <utility>

#include "engine/core/status_macros.h"
#include "scheduler/planner/secant_search.h"
#include "scheduler/sim/cluster_simulator.h"

namespace tandem {
namespace {

// A run, as far as it went.
struct Run {
  double rate = 0;
  std::vector<RequestRecord> records;  // those that count and have ended, by index
  int num_counted = 0;                 // requests that count, whether they have ended or not
  int num_missed = 0;                  // of `records`, a target
  bool was_cut = false;                // once it was decided

  // Of the requests that have ended.
  double ShareSoFar() const {
    return was_cut ? 1 - num_missed / static_cast<double>(records.size()) : Attainment();
  }
  double Attainment() const {
    return num_counted == 0 ? 1 : 1 - static_cast<double>(num_missed) / num_counted;
  }
};

// Ends once more than `max_misses` of the requests that count have missed a target.
absl::StatusOr<Run> Simulate(SimulationOptions cluster, const Workload& workload,
                             const ClusterScorerOptions& options, int max_misses) {
  std::stop_source stop;
  cluster.stop = stop.get_token();
  cluster.keep_token_gaps = false;
  ASSIGN_OR_RETURN(const std::unique_ptr<ClusterSimulator> simulator,
                   ClusterSimulator::Create(cluster));
  Run run;
  run.num_counted = std::max(0, static_cast<int>(workload.requests.size()) - options.num_warmup);
  simulator->SetOnEnd([&](const RequestRecord& record) {
    if (record.index < options.num_warmup) return;
    run.records.push_back(record);
    run.num_missed += !IsGood(record, options.targets);
    if (run.num_missed > max_misses) stop.request_stop();
  });
  const SimulationResult result = simulator->Run(workload);
  run.was_cut = result.was_stopped;
  if (!result.problems.empty()) return absl::InternalError(result.problems.front());
  std::ranges::sort(run.records, {}, &RequestRecord::index);
  return run;
}

double MeanTtftSeconds(const Run& run) {
  double sum = 0, num_served = 0;
  for (const RequestRecord& record : run.records) {
    if (record.outcome != RequestRecord::Outcome::kServed) continue;
    sum += absl::ToDoubleSeconds(record.ttft);
    ++num_served;
  }
  return num_served == 0 ? 0 : sum / num_served;
}

// Why the requests of `run` are not good.
void CountMisses(const Run& run, const SloTargets& targets, SeedScore* score) {
  if (run.records.empty()) return;
  int num_late = 0, num_slow = 0, num_unserved = 0;
  for (const RequestRecord& record : run.records) {
    if (record.outcome != RequestRecord::Outcome::kServed) {
      ++num_unserved;
      continue;
    }
    num_late += targets.ttft && record.ttft > *targets.ttft;
    num_slow += targets.tpot && record.Tpot() > *targets.tpot;
  }
  const auto num_ended = static_cast<double>(run.records.size());
  score->ttft_missed = num_late / num_ended;
  score->tpot_missed = num_slow / num_ended;
  score->unserved = num_unserved / num_ended;
}

// Whether no lower rate can hold either: attainment then nears that of the requests that were alone
// in the cluster, and too few of those are good.
bool IsHopeless(const Run& run, const Workload& workload, const ClusterScorerOptions& options) {
  int num_alone = 0, num_good = 0;
  absl::Duration busy_until = -absl::InfiniteDuration();
  for (size_t i = 0; i < run.records.size(); ++i) {
    const RequestRecord& record = run.records[i];
    if (record.index != options.num_warmup + static_cast<int64_t>(i)) break;  // one has not ended
    const auto next = static_cast<size_t>(record.index) + 1;
    const bool is_alone =
        busy_until <= record.sent &&
        (next == workload.requests.size() || record.End() <= workload.requests[next].arrival);
    busy_until = std::max(busy_until, record.End());
    if (!is_alone) continue;
    ++num_alone;
    num_good += IsGood(record, options.targets);
  }
  return num_alone > 0 && WilsonInterval(num_good, num_alone).high < options.search.target;
}

// The search for the rate of one seed.
class SeedSearch {
 public:
  SeedSearch(const SimulationOptions& cluster, const ClusterScorerOptions& options, int seed)
      : cluster_(cluster), options_(options), seed_(seed) {}

  absl::StatusOr<SeedScore> Search(RateGuess guess) {
    if (guess.fall > 0) {
      ASSIGN_OR_RETURN(const bool is_found, SearchNear(&guess));
      if (is_found) return score_;
    }
    RateSearchOptions bounds = options_.search;
    bounds.max_requests = 1;  // a simulated rate has one answer: more runs would repeat it
    bounds.first_rate = std::clamp(guess.rate, bounds.min_rate, bounds.max_rate);
    bounds.first_step = guess.step;
    RateSearch search(bounds);
    while (!search.IsDone()) {
      const double rate = search.rate();
      const Workload workload = options_.make_workload(rate, seed_);
      const int num_counted =
          std::max(0, static_cast<int>(workload.requests.size()) - options_.num_warmup);
      ASSIGN_OR_RETURN(Run run, RunOnce(rate, workload, search.MaxMisses(num_counted)));
      search.Add(run.num_counted - run.num_missed, run.num_counted);
      if (search.holding() == rate) {
        holding_ = std::move(run);
        continue;
      }
      failing_ = std::move(run);
      if (search.holding() > 0) continue;
      if (guess.is_least || IsHopeless(failing_, workload, options_)) break;
    }
    score_.failing = search.failing();
    if (search.holding() > 0) RETURN_IF_ERROR(Interpolate(search));
    CountMisses(failing_, options_.targets, &score_);
    return score_;
  }

 private:
  // False where a few runs do not find it; the guess is then the last rate.
  absl::StatusOr<bool> SearchNear(RateGuess* guess) {
    constexpr int kMostRuns = 10;
    // A run that fails by more says little of how far it is from one that does not.
    constexpr double kFarMisses = 3;
    const RateSearchOptions& bounds = options_.search;
    SecantSearch search({.target = bounds.target,
                         .rate = guess->rate,
                         .fall = guess->fall,
                         .tolerance = bounds.tolerance});
    for (int i = 0; i < kMostRuns; ++i) {
      guess->rate = search.rate();
      if (guess->rate <= bounds.min_rate || guess->rate >= bounds.max_rate) return false;
      const Workload workload = options_.make_workload(guess->rate, seed_);
      const double misses = (1 - bounds.target) * static_cast<double>(workload.requests.size());
      ASSIGN_OR_RETURN(Run run,
                       RunOnce(guess->rate, workload, static_cast<int>(kFarMisses * misses)));
      search.Add(run.ShareSoFar(), run.was_cut);
      const bool holds = run.Attainment() >= bounds.target;
      if (!holds) score_.failing = guess->rate;
      if (!holds && IsHopeless(run, workload, options_)) {
        CountMisses(run, options_.targets, &score_);
        return true;
      }
      if (!search.IsDone()) continue;
      score_.rate = search.rate();
      score_.fall = search.fall();
      score_.failing = std::max(score_.failing, score_.rate);
      score_.mean_ttft = absl::Seconds(MeanTtftSeconds(run));
      CountMisses(run, options_.targets, &score_);
      return true;
    }
    return false;
  }

  absl::StatusOr<Run> RunOnce(double rate, const Workload& workload, int max_misses) {
    ++score_.num_simulations;
    ASSIGN_OR_RETURN(Run run, Simulate(cluster_, workload, options_, max_misses));
    run.rate = rate;
    return run;
  }

  // Attainment falls evenly between the ends of the bracket, of which the lower one holds.
  absl::Status Interpolate(const RateSearch& search) {
    score_.rate = holding_.rate;
    double share = 0;
    if (!std::isinf(search.failing())) {
      if (failing_.was_cut) {
        const Workload workload = options_.make_workload(failing_.rate, seed_);
        ASSIGN_OR_RETURN(failing_,
                         RunOnce(failing_.rate, workload, std::numeric_limits<int>::max()));
      }
      const double fall = holding_.Attainment() - failing_.Attainment();
      if (fall > 0) {
        score_.fall = fall / std::log(failing_.rate / holding_.rate);
        share = (holding_.Attainment() - options_.search.target) / fall;
      }
      share = std::clamp(share, 0.0, 1.0);
      score_.rate *= std::pow(failing_.rate / holding_.rate, share);
    }
    score_.mean_ttft = absl::Seconds(
        std::lerp(MeanTtftSeconds(holding_), share > 0 ? MeanTtftSeconds(failing_) : 0.0, share));
    return absl::OkStatus();
  }

  const SimulationOptions& cluster_;
  const ClusterScorerOptions& options_;
  const int seed_;
  Run holding_, failing_;  // the last ones, which are the ends of the bracket
  SeedScore score_;
};

}  // namespace

absl::StatusOr<SeedScore> ScoreSeed(const SimulationOptions& cluster,
                                    const ClusterScorerOptions& options, int seed,
                                    const RateGuess& guess) {
  return SeedSearch(cluster, options, seed).Search(guess);
}

ClusterScore Combine(const std::vector<SeedScore>& seeds) {
  ClusterScore score;
  const auto num_seeds = static_cast<double>(seeds.size());
  for (const SeedScore& seed : seeds) {
    score.samples.push_back(seed.rate);
    score.falls.push_back(seed.fall);
    score.mean_ttft.push_back(seed.mean_ttft);
    score.ttft_missed += seed.ttft_missed / num_seeds;
    score.tpot_missed += seed.tpot_missed / num_seeds;
    score.unserved += seed.unserved / num_seeds;
  }
  score.rate = MeanWithInterval(score.samples);
  return score;
}

}  // namespace tandem
