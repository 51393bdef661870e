#include "scheduler/planner/cluster_scorer.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <utility>

#include "engine/core/status_macros.h"
#include "scheduler/sim/cluster_simulator.h"

namespace tandem {
namespace {

absl::StatusOr<std::vector<RequestRecord>> Simulate(SimulationOptions cluster,
                                                    const Workload& workload, int num_warmup) {
  cluster.keep_token_gaps = false;
  ASSIGN_OR_RETURN(const std::unique_ptr<ClusterSimulator> simulator,
                   ClusterSimulator::Create(cluster));
  SimulationResult result = simulator->Run(workload);
  if (!result.problems.empty()) return absl::InternalError(result.problems.front());
  std::vector<RequestRecord>& records = result.records;
  records.erase(records.begin(), records.begin() + std::min<size_t>(num_warmup, records.size()));
  return std::move(records);
}

// Adds to `score` why `records` are not good.
void CountMisses(const std::vector<RequestRecord>& records, const SloTargets& targets,
                 ClusterScore* score) {
  if (records.empty()) return;
  int num_late = 0, num_slow = 0, num_unserved = 0;
  for (const RequestRecord& record : records) {
    if (record.outcome != RequestRecord::Outcome::kServed) {
      ++num_unserved;
      continue;
    }
    num_late += targets.ttft && record.ttft > *targets.ttft;
    num_slow += targets.tpot && record.Tpot() > *targets.tpot;
  }
  const auto num_requests = static_cast<double>(records.size());
  score->ttft_missed += num_late / num_requests;
  score->tpot_missed += num_slow / num_requests;
  score->unserved += num_unserved / num_requests;
}

}  // namespace

absl::StatusOr<ClusterScore> ScoreCluster(const SimulationOptions& cluster,
                                          const ClusterScorerOptions& options) {
  ClusterScore score;
  for (int seed = 0; seed < options.num_seeds; ++seed) {
    RateSearchOptions bounds = options.search;
    bounds.max_requests = 1;  // a simulated rate has one answer: more runs would repeat it
    RateSearch search(bounds);
    std::vector<RequestRecord> missed;
    double missed_rate = std::numeric_limits<double>::infinity();
    while (!search.IsDone()) {
      const double rate = search.rate();
      ASSIGN_OR_RETURN(std::vector<RequestRecord> records,
                       Simulate(cluster, options.make_workload(rate, seed), options.num_warmup));
      ++score.num_simulations;
      const int num_good = static_cast<int>(
          std::count_if(records.begin(), records.end(),
                        [&](const RequestRecord& r) { return IsGood(r, options.targets); }));
      search.Add(num_good, static_cast<int>(records.size()));
      if (search.failing() > rate || rate >= missed_rate) continue;
      missed_rate = rate;
      missed = std::move(records);
    }
    score.samples.push_back(search.holding());
    CountMisses(missed, options.targets, &score);
  }
  const double num_seeds = std::max(1, options.num_seeds);
  score.rate = MeanWithInterval(score.samples);
  score.ttft_missed /= num_seeds;
  score.tpot_missed /= num_seeds;
  score.unserved /= num_seeds;
  return score;
}

}  // namespace tandem
