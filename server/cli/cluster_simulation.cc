#include "server/cli/cluster_simulation.h"

#include <algorithm>
#include <iostream>
#include <limits>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "engine/core/status_macros.h"
#include "scheduler/sim/cluster_simulator.h"
#include "scheduler/sim/rate_search.h"
#include "server/bench/report_table.h"
#include "server/bench/result_json.h"
#include "server/bench/run_series.h"
#include "server/cli/bench_options.h"
#include "server/cli/cluster_options.h"
#include "server/cli/commands.h"
#include "server/cli/json_text.h"
#include "server/cli/option_value.h"
#include "server/cli/progress_bar.h"
#include "server/cli/series_output.h"

namespace tandem {
namespace {

using nlohmann::ordered_json;

// What a run has beside what a measured one has; its records are in the series.
struct SimulatedRun {
  double rate = 0;
  int num_served = 0;
  SimulationResult result;
  absl::Duration wall;
};

// Requests that the cluster refuses whatever its load, as the daemon does with status 400.
struct Refusals {
  int num_requests = 0, num_all = 0;
  int longest_prompt = 0, shortest_prompt = 0;
  int max_prompt = 0;  // that is served
};

// The most tokens of a prompt that leave room for an answer, where each of its phases is computed.
int MaxPrompt(const SimulationOptions& cluster) {
  std::map<InstanceRole, int> most;
  for (const SimInstanceOptions& instance : cluster.instances) {
    const InstanceOptions& scheduler = instance.scheduler;
    const int64_t pool = int64_t{scheduler.num_blocks} * scheduler.block_size;
    const int64_t fits = std::min<int64_t>(scheduler.max_model_len - 1, pool);
    most[instance.role] = std::max(most[instance.role], static_cast<int>(fits));
  }
  return std::max(most[InstanceRole::kMixed],
                  std::min(most[InstanceRole::kPrefill], most[InstanceRole::kDecode]));
}

// INVALID_ARGUMENT: it refuses them all.
absl::StatusOr<Refusals> FindRefusals(const SimulationOptions& cluster, const Workload& workload) {
  Refusals refusals = {.num_all = static_cast<int>(workload.requests.size()),
                       .shortest_prompt = std::numeric_limits<int>::max(),
                       .max_prompt = MaxPrompt(cluster)};
  for (const TimedRequest& request : workload.requests) {
    refusals.num_requests += request.prompt_tokens > refusals.max_prompt;
    refusals.longest_prompt = std::max(refusals.longest_prompt, request.prompt_tokens);
    refusals.shortest_prompt = std::min(refusals.shortest_prompt, request.prompt_tokens);
  }
  if (refusals.num_all == 0 || refusals.num_requests < refusals.num_all) return refusals;
  return absl::InvalidArgumentError(absl::StrFormat(
      "none of the %d requests can be served: the shortest prompt has %d tokens, and the KV pools "
      "have room for prompts of up to %d: --kv-tokens, or shorter ones",
      refusals.num_all, refusals.shortest_prompt, refusals.max_prompt));
}

std::string RefusalLine(const Refusals& refusals) {
  if (refusals.num_requests == 0) return "";
  return absl::StrFormat(
      "\n%d of the %d requests are refused at every rate, as the daemon does with status 400: the "
      "KV pools\nhave room for prompts of up to %d tokens, and the longest has %d\n",
      refusals.num_requests, refusals.num_all, refusals.max_prompt, refusals.longest_prompt);
}

ordered_json RefusalJson(const Refusals& refusals) {
  return {{"requests", refusals.num_requests},
          {"max_prompt_tokens", refusals.max_prompt},
          {"longest_prompt_tokens", refusals.longest_prompt}};
}

class ClusterSimulation {
 public:
  static absl::StatusOr<ClusterSimulation> Create(const Config& config) {
    ClusterSimulation simulation(config);
    ASSIGN_OR_RETURN(const Profile profile, ReadProfile(config));
    ASSIGN_OR_RETURN(const ClusterPlacement cluster, ParseCluster(config));
    ASSIGN_OR_RETURN(simulation.options_, MakeSimulationOptions(config, profile, cluster));
    ASSIGN_OR_RETURN(simulation.workload_, ReadSimulatedWorkload(config));
    ASSIGN_OR_RETURN(simulation.refusals_, FindRefusals(simulation.options_, simulation.workload_));
    RunSeries& series = simulation.series_;
    ASSIGN_OR_RETURN(
        series.targets,
        NameOption("goodput", ParseTargets({config.goodput().begin(), config.goodput().end()})));
    series.tool = absl::StrCat("tandem simulate ", TandemVersion());
    series.label = config.label();
    series.backend = "simulation";
    series.server = cluster.ToString();
    series.model = config.profile();
    series.workload = !config.trace().empty()     ? config.trace()
                      : !config.lengths().empty() ? config.lengths()
                      : !config.synthetic_lengths().empty()
                          ? config.synthetic_lengths()
                          : absl::StrCat(config.prompt_tokens(), ":", config.output_tokens());
    series.arrivals =
        config.arrivals() == "auto" && config.trace().empty() ? "poisson" : config.arrivals();
    series.burstiness = config.burstiness();
    series.seed = static_cast<uint64_t>(config.seed());
    return simulation;
  }

  absl::Status Run() {
    ASSIGN_OR_RETURN(const std::vector<double> rates, ReadSimulatedRates(config_, workload_));
    if (config_.search()) return Search(rates.front());
    for (double rate : rates) RETURN_IF_ERROR(RunAt(rate));
    return absl::OkStatus();
  }

  const RunSeries& series() const { return series_; }
  const std::vector<SimulatedRun>& runs() const { return runs_; }
  const Refusals& refusals() const { return refusals_; }

 private:
  explicit ClusterSimulation(const Config& config) : config_(config) {}

  absl::Status Search(double first_rate) {
    if (series_.targets.IsEmpty()) {
      return absl::InvalidArgumentError("--search needs targets: --goodput");
    }
    RateSearch search({.target = config_.attainment(),
                       .first_rate = first_rate,
                       .tolerance = config_.tolerance(),
                       // A simulated rate has one answer: more runs would only repeat it.
                       .max_requests = 1});
    while (!search.IsDone()) {
      RETURN_IF_ERROR(RunAt(search.rate()));
      const SloReport& report = series_.runs.back().report;
      search.Add(report.num_good, report.num_requests);
    }
    series_.search = SearchResult{.attainment = config_.attainment(),
                                  .holding = search.holding(),
                                  .failing = search.failing()};
    return absl::OkStatus();
  }

  absl::Status RunAt(double rate) {
    constexpr int64_t kManyTokens = 20'000'000;  // whose gaps would fill the memory
    const Workload workload = AtRate(config_, workload_, rate);
    SimulationOptions options = options_;
    int64_t num_tokens = 0;
    for (const TimedRequest& request : workload.requests) num_tokens += request.output_tokens;
    options.keep_token_gaps = num_tokens <= kManyTokens;
    DrawFailures(config_, workload.Length(), &options);
    ASSIGN_OR_RETURN(const std::unique_ptr<ClusterSimulator> simulator,
                     ClusterSimulator::Create(options));
    ProgressBar bar;
    int num_ended = 0;
    simulator->SetOnEnd([&](const RequestRecord&) {
      constexpr int kSeldom = 1000;  // enough to see it move
      const int num_all = static_cast<int>(workload.requests.size());
      if (++num_ended % kSeldom == 0) bar.Show("request", num_ended, num_all);
    });
    const absl::Time start = absl::Now();
    SimulatedRun run{.rate = rate, .result = simulator->Run(workload), .wall = {}};
    run.wall = absl::Now() - start;
    if (!run.result.problems.empty()) return absl::InternalError(run.result.problems.front());
    RunResult measured{.rate = rate, .started = start, .records = std::move(run.result.records)};
    measured.report = MakeSloReport(measured.records, series_.targets);
    run.num_served = measured.report.num_served;
    series_.runs.push_back(std::move(measured));
    runs_.push_back(std::move(run));
    return absl::OkStatus();
  }

  const Config& config_;
  SimulationOptions options_;
  Workload workload_;
  Refusals refusals_;
  RunSeries series_;
  std::vector<SimulatedRun> runs_;  // as many as the series has
};

std::string StageLine(const SimulatedRun& run) {
  const StageTimes& stages = run.result.stages;
  const double served = std::max(1, run.num_served);
  const auto mean = [served](absl::Duration sum) {
    return absl::ToDoubleMilliseconds(sum) / served;
  };
  return absl::StrFormat("%8.4g %9.2f %9.2f %9.2f %9.2f %9.2f %9d %9d %9.2f\n", run.rate,
                         mean(stages.route), mean(stages.prefill_queue), mean(stages.prefill),
                         mean(stages.transfer), mean(stages.decode), run.result.num_replays,
                         run.result.num_recomputes, run.result.transferred_bytes / 1e9);
}

std::string StageTable(const std::vector<SimulatedRun>& runs) {
  std::string table =
      absl::StrFormat("\n%8s %9s %9s %9s %9s %9s %9s %9s %9s\n", "rate/s", "route", "queue",
                      "prefill", "transfer", "decode", "replays", "recomp.", "GB moved");
  for (const SimulatedRun& run : runs) table += StageLine(run);
  absl::StrAppend(&table, "(means of stages in ms)\n");
  for (const SimulatedRun& run : runs) {
    absl::StrAppendFormat(
        &table, "rate %.4g: %s simulated in %s, %d events, decisions %016x\n", run.rate,
        absl::FormatDuration(absl::Trunc(run.result.length, absl::Milliseconds(1))),
        absl::FormatDuration(absl::Trunc(run.wall, absl::Milliseconds(1))), run.result.num_events,
        run.result.digest);
  }
  return table;
}

ordered_json SimulationJson(const SimulatedRun& run) {
  const StageTimes& stages = run.result.stages;
  ordered_json instances = ordered_json::array();
  for (const SimInstanceTotals& totals : run.result.instances) {
    instances.push_back({{"busy", absl::FDivDuration(totals.busy, run.result.length)},
                         {"steps", totals.steps},
                         {"max_blocks_in_use", totals.max_blocks_in_use},
                         {"preemptions", totals.preemptions},
                         {"prefix_hit_tokens", totals.prefix_hit_tokens},
                         {"deaths", totals.num_deaths}});
  }
  return {{"rate", run.rate},
          {"stages_s",
           {{"route", absl::ToDoubleSeconds(stages.route)},
            {"prefill_queue", absl::ToDoubleSeconds(stages.prefill_queue)},
            {"prefill", absl::ToDoubleSeconds(stages.prefill)},
            {"transfer", absl::ToDoubleSeconds(stages.transfer)},
            {"decode", absl::ToDoubleSeconds(stages.decode)}}},
          {"instances", instances},
          {"handoffs", run.result.num_handoffs},
          {"replays", run.result.num_replays},
          {"recomputes", run.result.num_recomputes},
          {"transferred_bytes", run.result.transferred_bytes},
          {"simulated_s", absl::ToDoubleSeconds(run.result.length)},
          {"events", run.result.num_events},
          {"digest", absl::StrFormat("%016x", run.result.digest)}};
}

}  // namespace

absl::Status RunClusterSimulation(const Config& config) {
  RETURN_IF_ERROR(CheckWritable(config));
  const ResultJsonOptions json_options = MakeResultJsonOptions(config);
  ASSIGN_OR_RETURN(ClusterSimulation simulation, ClusterSimulation::Create(config));
  RETURN_IF_ERROR(simulation.Run());
  RETURN_IF_ERROR(WriteSeries(config, simulation.series()));
  if (!config.json()) {
    std::cout << ReportTable(simulation.series()) << RefusalLine(simulation.refusals())
              << StageTable(simulation.runs()) << std::flush;
    return absl::OkStatus();
  }
  ordered_json json = ResultJson(simulation.series(), json_options);
  json["refused"] = RefusalJson(simulation.refusals());
  for (const SimulatedRun& run : simulation.runs()) {
    json["simulation"].push_back(SimulationJson(run));
  }
  std::cout << JsonText(json) << std::endl;
  return absl::OkStatus();
}

}  // namespace tandem
