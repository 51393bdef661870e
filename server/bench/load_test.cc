#include "server/bench/load_test.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "scheduler/sim/random.h"

namespace tandem {
namespace {

constexpr absl::Duration kProgressInterval = absl::Milliseconds(100);

absl::StatusOr<int> NumRequests(const LoadTestOptions& options, double rate) {
  if (options.num_requests > 0) return options.num_requests;
  const double expected = rate * absl::ToDoubleSeconds(options.duration);
  constexpr double kMost = 1e8;
  if (!(expected <= kMost)) {
    return absl::InvalidArgumentError(
        absl::StrCat("a run at rate ", RateText(rate), " needs a number of requests"));
  }
  return std::max(1, static_cast<int>(std::round(expected)));
}

Workload TraceAtItsTimes(const LoadTestOptions& options, std::optional<double> rate) {
  Workload workload = *options.trace;
  if (options.num_requests > 0) Resize(workload, options.num_requests);
  if (rate) ScaleArrivals(workload, *rate);
  if (options.num_requests > 0) return workload;
  const auto end =
      std::find_if(workload.requests.begin(), workload.requests.end(),
                   [&](const TimedRequest& request) { return request.arrival > options.duration; });
  workload.requests.erase(end, workload.requests.end());
  return workload;
}

// The runs of one test.
class LoadTest {
 public:
  LoadTest(const LoadTestOptions& options, const LoadTestObserver& observer, RunSeries& series)
      : options_(options), observer_(observer), series_(series) {}

  absl::Status WarmUp() {
    if (options_.num_warmup_requests == 0) return absl::OkStatus();
    LoadTestOptions warmup = options_;
    warmup.num_requests = options_.num_warmup_requests;
    warmup.keeps_trace_times = false;
    constexpr double kAllAtOnce = std::numeric_limits<double>::infinity();
    ASSIGN_OR_RETURN(const Workload workload, MakeRunWorkload(warmup, kAllAtOnce, 0));
    // So that the server, too, counts the runs alone by their targets.
    const RunResult result = Run(workload, kAllAtOnce, {.names_targets = false});
    if (is_stopped_ || result.report.num_served > 0) return absl::OkStatus();
    return absl::UnknownError(
        absl::StrCat("no warm-up request was served: ", result.records[0].error));
  }

  absl::Status RunRates() {
    std::vector<std::optional<double>> rates(options_.rates.begin(), options_.rates.end());
    if (rates.empty()) rates.emplace_back(std::nullopt);
    for (const std::optional<double>& rate : rates) {
      if (is_stopped_) break;
      ASSIGN_OR_RETURN(const Workload workload, MakeRunWorkload(options_, rate, 0));
      Keep(Run(workload, rate.value_or(workload.Rate()), {}));
    }
    return absl::OkStatus();
  }

  absl::Status Search() {
    RateSearch search(*options_.search);
    int repetition = 0;
    while (!search.IsDone() && !is_stopped_) {
      const double rate = search.rate();
      ASSIGN_OR_RETURN(const Workload workload, MakeRunWorkload(options_, rate, repetition));
      const int num_requests = static_cast<int>(workload.requests.size());
      const int max_misses = search.MaxMisses(num_requests);
      RunResult result = Run(workload, rate, {.max_misses = max_misses});
      if (!is_stopped_) {
        search.Add(result.was_stopped ? num_requests - max_misses - 1 : result.report.num_good,
                   num_requests);
      }
      Keep(std::move(result));
      repetition = search.rate() == rate ? repetition + 1 : 0;
    }
    series_.search = SearchResult{.attainment = options_.search->target,
                                  .holding = search.holding(),
                                  .failing = search.failing(),
                                  .is_certain = search.is_certain(),
                                  .was_stopped = is_stopped_};
    return absl::OkStatus();
  }

 private:
  struct RunLimits {
    bool names_targets = true;
    std::optional<int> max_misses;
  };

  RunResult Run(const Workload& workload, double rate, const RunLimits& limits) {
    LoadRunOptions run_options = options_.run;
    run_options.prompts.seed = MixSeed(options_.content_seed, ++num_runs_);
    run_options.names_targets = limits.names_targets;
    if (limits.max_misses) run_options.max_misses = *limits.max_misses;
    LoadRun run(workload, run_options);
    const BenchClock::time_point start = BenchClock::now();
    while (!run.Wait(kProgressInterval)) {
      const LoadProgress progress = {.rate = rate,
                                     .num_requests = static_cast<int>(workload.requests.size()),
                                     .counts = run.counts(),
                                     .elapsed = TimeSince(start)};
      if (is_stopped_ || observer_.on_progress(progress)) continue;
      is_stopped_ = true;
      run.Stop();
    }
    RunResult result = {.rate = rate,
                        .started = run.started(),
                        .was_stopped = run.was_stopped(),
                        .client_cpu_share = run.cpu_share(),
                        .records = run.TakeRecords()};
    result.report = MakeSloReport(result.records, options_.run.targets);
    return result;
  }

  void Keep(RunResult result) {
    observer_.on_run(result);
    series_.runs.push_back(std::move(result));
  }

  const LoadTestOptions& options_;
  const LoadTestObserver& observer_;
  RunSeries& series_;
  uint64_t num_runs_ = 0;
  bool is_stopped_ = false;  // by the observer
};

}  // namespace

absl::StatusOr<Workload> MakeRunWorkload(const LoadTestOptions& options, std::optional<double> rate,
                                         int repetition) {
  if (options.trace && options.keeps_trace_times) return TraceAtItsTimes(options, rate);
  const double wanted = rate ? *rate : options.trace ? options.trace->Rate() : 1;
  ASSIGN_OR_RETURN(const int num_requests, NumRequests(options, wanted));
  const uint64_t seed =
      repetition == 0 ? options.seed : MixSeed(options.seed, static_cast<uint64_t>(repetition));
  Workload workload;
  if (options.trace) {
    workload = *options.trace;
    Resize(workload, num_requests);
  } else {
    workload = DrawWorkload(
        {.num_requests = num_requests, .prompt = options.prompt, .output = options.output}, seed);
  }
  SetArrivals(workload, {.rate = wanted, .burstiness = options.burstiness}, seed);
  return workload;
}

absl::Status RunLoadTest(const LoadTestOptions& options, const LoadTestObserver& observer,
                         RunSeries& series) {
  LoadTest test(options, observer, series);
  RETURN_IF_ERROR(test.WarmUp());
  return options.search ? test.Search() : test.RunRates();
}

}  // namespace tandem
