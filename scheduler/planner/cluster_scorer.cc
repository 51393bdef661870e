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

absl::Duration MeanTtft(const std::vector<RequestRecord>& records) {
  absl::Duration sum;
  int64_t num_served = 0;
  for (const RequestRecord& record : records) {
    if (record.outcome != RequestRecord::Outcome::kServed) continue;
    sum += record.ttft;
    ++num_served;
  }
  return num_served == 0 ? absl::ZeroDuration() : sum / num_served;
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

// Whether no lower rate can hold either: attainment then nears that of the requests that were alone
// in the cluster, and too few of those are good.
bool IsHopeless(const std::vector<RequestRecord>& records, const ClusterScorerOptions& options) {
  int num_alone = 0, num_good = 0;
  absl::Duration busy_until = -absl::InfiniteDuration();
  for (size_t i = 0; i < records.size(); ++i) {
    const RequestRecord& record = records[i];
    const bool is_alone = busy_until <= record.sent &&
                          (i + 1 == records.size() || record.End() <= records[i + 1].sent);
    busy_until = std::max(busy_until, record.End());
    if (!is_alone) continue;
    ++num_alone;
    num_good += IsGood(record, options.targets);
  }
  return num_alone > 0 && WilsonInterval(num_good, num_alone).high < options.search.target;
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
    absl::Duration mean_ttft;
    while (!search.IsDone()) {
      const double rate = search.rate();
      ASSIGN_OR_RETURN(std::vector<RequestRecord> records,
                       Simulate(cluster, options.make_workload(rate, seed), options.num_warmup));
      ++score.num_simulations;
      const int num_good = static_cast<int>(
          std::count_if(records.begin(), records.end(),
                        [&](const RequestRecord& r) { return IsGood(r, options.targets); }));
      search.Add(num_good, static_cast<int>(records.size()));
      if (search.holding() == rate) mean_ttft = MeanTtft(records);
      if (search.failing() > rate || rate >= missed_rate) continue;
      missed_rate = rate;
      missed = std::move(records);
      if (search.holding() == 0 && IsHopeless(missed, options)) break;
    }
    score.samples.push_back(search.holding());
    score.mean_ttft.push_back(mean_ttft);
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
