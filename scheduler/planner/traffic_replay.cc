#include "scheduler/planner/traffic_replay.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "engine/core/status_macros.h"
#include "scheduler/planner/traffic_shift.h"
#include "scheduler/sim/cluster_simulator.h"

namespace tandem {
namespace {

using Kind = TrafficOutcome::Kind;
constexpr int kWarmupShare = 10;  // one in so many

SloTargets TargetsOf(const TrafficRequest& request, const ReplayOptions& options) {
  if (options.targets) return *options.targets;
  return request.targets.IsEmpty() ? options.default_targets : request.targets;
}

// Counts requests one by one.
class LevelCounter {
 public:
  void Add(const RequestRecord& record, const SloTargets& targets) {
    ++level_.num_requests;
    level_.num_good += IsGood(record, targets);
    if (record.outcome != RequestRecord::Outcome::kServed) {
      ++level_.num_unserved;
      return;
    }
    ttft_ms_.push_back(absl::ToDoubleMilliseconds(record.ttft));
    if (record.output_tokens > 1) tpot_ms_.push_back(absl::ToDoubleMilliseconds(record.Tpot()));
  }

  // Of requests that arrived within `length`.
  ServiceLevel Finish(absl::Duration length) {
    if (level_.num_requests > 0) {
      level_.attainment = static_cast<double>(level_.num_good) / level_.num_requests;
    }
    const double seconds = absl::ToDoubleSeconds(length);
    if (seconds > 0) level_.goodput = level_.num_good / seconds;
    level_.ttft_ms = Samples(std::move(ttft_ms_));
    level_.tpot_ms = Samples(std::move(tpot_ms_));
    return std::move(level_);
  }

 private:
  ServiceLevel level_;
  std::vector<double> ttft_ms_, tpot_ms_;
};

RequestRecord RecordOf(const TrafficRequest& request) {
  const TrafficOutcome& outcome = request.outcome;
  RequestRecord record;
  if (outcome.kind == Kind::kServed) record.outcome = RequestRecord::Outcome::kServed;
  record.ttft = outcome.ttft;
  record.latency = outcome.ttft + outcome.tpot * std::max(0, outcome.output_tokens - 1);
  record.output_tokens = outcome.output_tokens;
  return record;
}

Workload MakeWorkload(const TrafficWindow& window, double rate_scale) {
  const double mean_output = std::max(1.0, Summarize(window).output_tokens.mean);
  Workload workload{.name = "recent traffic", .has_arrivals = true};
  int block_size = 0;  // the latest, where it has changed
  for (const TrafficRequest& request : window.requests) {
    if (request.prefixes.block_size > 0) block_size = request.prefixes.block_size;
  }
  if (block_size > 0) workload.block_tokens = block_size;
  for (const TrafficRequest& request : window.requests) {
    TimedRequest timed{.arrival = (request.arrival - window.begin) / rate_scale,
                       .prompt_tokens = std::max(1, request.prompt_tokens)};
    int output_tokens = request.outcome.output_tokens;
    if (request.outcome.kind != Kind::kServed) {
      output_tokens = static_cast<int>(std::lround(mean_output));
      if (request.max_tokens > 0) output_tokens = std::min(output_tokens, request.max_tokens);
    }
    timed.output_tokens = std::max(1, output_tokens);
    // The key of a prefix names its last block and all before, as a block's id does.
    if (request.prefixes.block_size == block_size) timed.block_ids = request.prefixes.keys;
    workload.requests.push_back(std::move(timed));
  }
  return workload;
}

absl::StatusOr<SimInstanceOptions> MakeInstance(const PlannedInstance& instance) {
  const KvLayout& layout = instance.view.layout;
  SimInstanceOptions simulated;
  simulated.role = instance.view.role;
  simulated.scheduler = instance.scheduler;
  ASSIGN_OR_RETURN(simulated.latency, LatencyModel::Create(instance.view.latency.coefficients));
  simulated.scatter = {.prefill = instance.view.latency.mean_error,
                       .decode = instance.view.latency.mean_error};
  simulated.kv_bytes_per_token =
      static_cast<double>(layout.BlockBytes()) / std::max(1, layout.block_size);
  simulated.num_layers = std::max(1, layout.num_layers);
  return simulated;
}

}  // namespace

bool HasTargets(const TrafficWindow& window, const ReplayOptions& options) {
  return std::any_of(
      window.requests.begin(), window.requests.end(),
      [&](const TrafficRequest& request) { return !TargetsOf(request, options).IsEmpty(); });
}

ServiceLevel Measure(const TrafficWindow& window, const ReplayOptions& options) {
  LevelCounter counter;
  for (const TrafficRequest& request : window.requests) {
    const Kind kind = request.outcome.kind;
    if (kind == Kind::kUnderWay || kind == Kind::kCancelled) continue;
    counter.Add(RecordOf(request), TargetsOf(request, options));
  }
  return counter.Finish(window.Length());
}

absl::StatusOr<ServiceLevel> Replay(absl::Span<const PlannedInstance> instances,
                                    const TrafficWindow& window, const ReplayOptions& options) {
  SimulationOptions cluster;
  for (const PlannedInstance& instance : instances) {
    ASSIGN_OR_RETURN(const SimInstanceOptions simulated, MakeInstance(instance));
    cluster.instances.push_back(simulated);
  }
  cluster.network_delay = options.network_delay;
  cluster.link_bytes_per_second = options.kv_bytes_per_second;
  cluster.keep_token_gaps = false;
  cluster.stop = options.stop;
  ASSIGN_OR_RETURN(const std::unique_ptr<ClusterSimulator> simulator,
                   ClusterSimulator::Create(cluster));
  const Workload workload = MakeWorkload(window, options.rate_scale);
  const SimulationResult result = simulator->Run(workload);
  if (result.was_stopped) return absl::CancelledError("the simulation was stopped");
  if (!result.problems.empty()) return absl::InternalError(result.problems.front());
  LevelCounter counter;
  const size_t num_warmup = result.records.size() / kWarmupShare;
  for (size_t i = num_warmup; i < result.records.size(); ++i) {
    counter.Add(result.records[i], TargetsOf(window.requests[i], options));
  }
  const absl::Duration skipped =
      workload.requests.empty() ? absl::ZeroDuration() : workload.requests[num_warmup].arrival;
  return counter.Finish(window.Length() / options.rate_scale - skipped);
}

}  // namespace tandem
