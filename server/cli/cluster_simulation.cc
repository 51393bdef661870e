#include "server/cli/cluster_simulation.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iostream>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "engine/core/status_macros.h"
#include "scheduler/sim/cluster_simulator.h"
#include "scheduler/sim/profile.h"
#include "scheduler/sim/random.h"
#include "scheduler/sim/trace_reader.h"
#include "server/cli/compat_options.h"
#include "server/cli/process_options.h"
#include "server/cli/progress_bar.h"

namespace tandem {
namespace {

using nlohmann::ordered_json;

constexpr uint64_t kFailureStream = 21;

struct SimulatedRun {
  double rate = 0;
  SimulationResult result;
  SloReport report;
  absl::Duration wall;
};

// Number and shape of instances: --prefill, --decode, --mixed and --placement.
struct Cluster {
  int num_prefill = 0, num_decode = 0, num_mixed = 0;
  int prefill_tp = 1, prefill_pp = 1, decode_tp = 1, decode_pp = 1;
};

absl::StatusOr<Cluster> ParseCluster(const Config& config) {
  Cluster cluster;
  const bool all_mixed = config.mixed() > 0;
  const auto count = [all_mixed](int64_t given) {
    return static_cast<int>(given >= 0 ? given : all_mixed ? 0 : 1);
  };
  cluster.num_prefill = count(config.prefill());
  cluster.num_decode = count(config.decode());
  cluster.num_mixed = static_cast<int>(config.mixed());
  if (config.placement().empty()) return cluster;
  std::vector<int> numbers;
  for (absl::string_view part : absl::StrSplit(config.placement(), ',')) {
    if (!absl::SimpleAtoi(part, &numbers.emplace_back()) || numbers.back() < 1) numbers.clear();
  }
  if (numbers.size() == 2) numbers = {numbers[0], numbers[1], numbers[0], numbers[1]};
  if (numbers.size() != 4) {
    return absl::InvalidArgumentError(absl::StrCat(
        "option --placement: expected TP,PP or TP,PP,TP,PP, got \"", config.placement(), "\""));
  }
  cluster.prefill_tp = numbers[0];
  cluster.prefill_pp = numbers[1];
  cluster.decode_tp = numbers[2];
  cluster.decode_pp = numbers[3];
  return cluster;
}

absl::StatusOr<SimInstanceOptions> MakeInstance(const Config& config, InstanceRole role,
                                                const InstanceProfile& profile) {
  SimInstanceOptions instance;
  instance.role = role;
  ASSIGN_OR_RETURN(instance.latency, LatencyModel::Create(profile.latency));
  instance.kv_bytes_per_token = static_cast<double>(profile.kv_bytes_per_token);
  instance.num_devices = profile.tp * profile.pp;
  const int64_t kv_tokens = config.kv_tokens() > 0 ? config.kv_tokens() : profile.num_kv_tokens;
  if (kv_tokens < profile.block_size) {
    return absl::InvalidArgumentError("the profile knows no KV capacity: give --kv-tokens");
  }
  InstanceOptions& scheduler = instance.scheduler;
  scheduler.block_size = profile.block_size;
  scheduler.num_blocks = static_cast<int>(
      std::min<int64_t>(kv_tokens / profile.block_size, std::numeric_limits<int>::max()));
  scheduler.max_model_len = static_cast<int>(std::min<int64_t>(kv_tokens, 1 << 24));
  scheduler.max_num_seqs = static_cast<int>(config.max_num_seqs());
  scheduler.max_num_batched_tokens = static_cast<int>(config.max_num_batched_tokens());
  if (config.prefill_batch_tokens() > 0) {
    scheduler.prefill_batch_tokens = static_cast<int>(config.prefill_batch_tokens());
  }
  scheduler.max_queued_requests = static_cast<int>(config.max_queued_requests());
  scheduler.prefix_caching = config.prefix_caching();
  scheduler.depth = profile.pp;
  return instance;
}

absl::StatusOr<SimulationOptions> MakeOptions(const Config& config) {
  if (config.profile().empty()) return absl::InvalidArgumentError("--profile is required");
  ASSIGN_OR_RETURN(const std::string text, ReadFile(config.profile()));
  ASSIGN_OR_RETURN(const std::vector<InstanceProfile> profiles, ParseProfile(text));
  ASSIGN_OR_RETURN(const Cluster cluster, ParseCluster(config));
  SimulationOptions options;
  const auto add = [&](int count, InstanceRole role, int tp, int pp) -> absl::Status {
    if (count == 0) return absl::OkStatus();
    ASSIGN_OR_RETURN(const InstanceProfile profile, FindProfile(profiles, tp, pp));
    ASSIGN_OR_RETURN(const SimInstanceOptions instance, MakeInstance(config, role, profile));
    options.instances.insert(options.instances.end(), count, instance);
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(
      add(cluster.num_prefill, InstanceRole::kPrefill, cluster.prefill_tp, cluster.prefill_pp));
  RETURN_IF_ERROR(
      add(cluster.num_decode, InstanceRole::kDecode, cluster.decode_tp, cluster.decode_pp));
  RETURN_IF_ERROR(
      add(cluster.num_mixed, InstanceRole::kMixed, cluster.decode_tp, cluster.decode_pp));
  options.seed = static_cast<uint64_t>(config.seed());
  options.network_delay = absl::Seconds(config.network_delay());
  if (config.link_bandwidth() > 0) {
    options.link_bytes_per_second = static_cast<double>(config.link_bandwidth());
  }
  options.layerwise = config.layerwise();
  options.cancel_share = config.cancel_share();
  return options;
}

// Each instance dies at exponential intervals until the last arrival.
void DrawFailures(const Config& config, absl::Duration length, SimulationOptions* options) {
  if (config.time_between_failures() <= 0) return;
  for (size_t i = 0; i < options->instances.size(); ++i) {
    Random random(MixSeed(options->seed, i), kFailureStream);
    absl::Duration time;
    while (true) {
      time += absl::Seconds(config.time_between_failures() * random.Exponential());
      if (time > length) break;
      options->failures.push_back({.time = time,
                                   .instance = static_cast<int>(i),
                                   .down = absl::Seconds(config.restart_time())});
      time += absl::Seconds(config.restart_time());
    }
  }
}

absl::StatusOr<Workload> ReadWorkload(const Config& config) {
  const int num_requests = NumCompatRequests(config);
  Workload workload;
  if (!config.trace().empty()) {
    ASSIGN_OR_RETURN(const std::string content, ReadFile(config.trace()));
    TraceOptions options;
    options.seed = static_cast<uint64_t>(config.seed());
    options.max_requests = static_cast<int>(config.requests());
    return ReadTrace(content, options);
  }
  if (!config.lengths().empty() || !config.synthetic_lengths().empty()) {
    ASSIGN_OR_RETURN(const std::vector<RequestLengths> lengths, LoadFirstCompatLengths(config));
    for (const RequestLengths& length : lengths) {
      workload.requests.push_back(
          {.prompt_tokens = length.prompt_len, .output_tokens = std::max(1, length.output_len)});
    }
    return workload;
  }
  ASSIGN_OR_RETURN(const LengthDistribution prompt,
                   LengthDistribution::Parse(config.prompt_tokens()));
  ASSIGN_OR_RETURN(const LengthDistribution output,
                   LengthDistribution::Parse(config.output_tokens()));
  return DrawWorkload({.num_requests = num_requests, .prompt = prompt, .output = output},
                      static_cast<uint64_t>(config.seed()));
}

// --rates, or the trace's own.
absl::StatusOr<std::vector<double>> ReadRates(const Config& config, const Workload& workload) {
  if (!config.rates().empty()) return ParseRates(config.rates());
  if (workload.has_arrivals) return std::vector<double>{workload.Rate()};
  return absl::InvalidArgumentError("--rates is required");
}

Workload AtRate(const Config& config, Workload workload, double rate) {
  const bool by_trace = config.arrivals() == "trace" || config.arrivals() == "auto";
  if (workload.has_arrivals && by_trace) {
    if (!config.rates().empty()) ScaleArrivals(workload, rate);
    return workload;
  }
  const double burstiness = config.arrivals() == "constant"
                                ? std::numeric_limits<double>::infinity()
                            : config.arrivals() == "gamma" ? config.burstiness()
                                                           : 1.0;
  SetArrivals(workload, {.rate = rate, .burstiness = burstiness},
              static_cast<uint64_t>(config.seed()));
  return workload;
}

absl::StatusOr<SloTargets> ReadTargets(const Config& config) {
  SloTargets targets;
  if (config.goodput().empty()) return targets;
  ASSIGN_OR_RETURN(const CompatSlo slo, ParseCompatSlo(config));
  targets.ttft = absl::Milliseconds(slo.ttft_ms);
  targets.tpot = absl::Milliseconds(slo.tpot_ms);
  return targets;
}

absl::StatusOr<SimulatedRun> Simulate(const Config& config, SimulationOptions options,
                                      const Workload& workload, double rate) {
  constexpr int64_t kManyTokens = 20'000'000;  // whose gaps would fill the memory
  int64_t num_tokens = 0;
  for (const TimedRequest& request : workload.requests) num_tokens += request.output_tokens;
  options.keep_token_gaps = num_tokens <= kManyTokens;
  DrawFailures(config, workload.Length(), &options);
  ASSIGN_OR_RETURN(const std::unique_ptr<ClusterSimulator> simulator,
                   ClusterSimulator::Create(options));
  ASSIGN_OR_RETURN(const SloTargets targets, ReadTargets(config));
  ProgressBar bar;
  simulator->SetProgress([&](int ended, int all) { bar.Show("request", ended, all); });
  const absl::Time start = absl::Now();
  SimulatedRun run{.rate = rate, .result = simulator->Run(workload), .report = {}, .wall = {}};
  run.wall = absl::Now() - start;
  if (!run.result.problems.empty()) return absl::InternalError(run.result.problems.front());
  run.report = MakeSloReport(run.result.records, targets);
  return run;
}

std::string RunLine(const SimulatedRun& run) {
  const SloReport& report = run.report;
  return absl::StrFormat("%8.4g %8d %6d %6d %8.2f%% %9.3f %9.1f %9.1f %9.1f %9.2f %9.2f %9.2f\n",
                         run.rate, report.num_requests, report.num_failed, report.num_shed,
                         100 * report.attainment, report.goodput, report.ttft_ms.Median(),
                         report.ttft_ms.Percentile(90), report.ttft_ms.Percentile(99),
                         report.tpot_ms.Median(), report.tpot_ms.Percentile(90),
                         report.tpot_ms.Percentile(99));
}

std::string StageLine(const SimulatedRun& run) {
  const StageTimes& stages = run.result.stages;
  const double served = std::max(1, run.report.num_served);
  const auto mean = [served](absl::Duration sum) {
    return absl::ToDoubleMilliseconds(sum) / served;
  };
  return absl::StrFormat("%8.4g %9.2f %9.2f %9.2f %9.2f %9.2f %9d %9d %9.2f\n", run.rate,
                         mean(stages.route), mean(stages.prefill_queue), mean(stages.prefill),
                         mean(stages.transfer), mean(stages.decode), run.result.num_replays,
                         run.result.num_recomputes, run.result.transferred_bytes / 1e9);
}

std::string Table(const std::vector<SimulatedRun>& runs) {
  std::string table = absl::StrFormat("%8s %8s %6s %6s %9s %9s %9s %9s %9s %9s %9s %9s\n", "rate/s",
                                      "requests", "failed", "shed", "attained", "goodput/s",
                                      "TTFT p50", "p90", "p99", "TPOT p50", "p90", "p99");
  for (const SimulatedRun& run : runs) table += RunLine(run);
  absl::StrAppendFormat(&table, "\n%8s %9s %9s %9s %9s %9s %9s %9s %9s\n", "rate/s", "route",
                        "queue", "prefill", "transfer", "decode", "replays", "recomp.", "GB moved");
  for (const SimulatedRun& run : runs) table += StageLine(run);
  absl::StrAppend(&table, "(latencies and means of stages in ms)\n");
  for (const SimulatedRun& run : runs) {
    absl::StrAppendFormat(
        &table, "rate %.4g: %s simulated in %s, %d events, decisions %016x\n", run.rate,
        absl::FormatDuration(absl::Trunc(run.result.length, absl::Milliseconds(1))),
        absl::FormatDuration(absl::Trunc(run.wall, absl::Milliseconds(1))), run.result.num_events,
        run.result.digest);
  }
  return table;
}

ordered_json SamplesJson(const Samples& samples) {
  return {{"mean", samples.Mean()},
          {"p50", samples.Median()},
          {"p90", samples.Percentile(90)},
          {"p99", samples.Percentile(99)}};
}

ordered_json RunJson(const SimulatedRun& run) {
  const SloReport& report = run.report;
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
  return {
      {"rate", run.rate},
      {"requests", report.num_requests},
      {"served", report.num_served},
      {"failed", report.num_failed},
      {"shed", report.num_shed},
      {"attainment", report.attainment},
      {"attainment_interval", {report.attainment_interval.low, report.attainment_interval.high}},
      {"goodput", report.goodput},
      {"output_throughput", report.output_throughput},
      {"ttft_ms", SamplesJson(report.ttft_ms)},
      {"tpot_ms", SamplesJson(report.tpot_ms)},
      {"latency_ms", SamplesJson(report.latency_ms)},
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

absl::Status WriteRecords(const std::vector<SimulatedRun>& runs, const std::string& path) {
  std::ofstream file(path);
  for (const SimulatedRun& run : runs) {
    for (const RequestRecord& record : run.result.records) {
      file << ordered_json{{"rate", run.rate},
                           {"index", record.index},
                           {"sent_ms", absl::ToDoubleMilliseconds(record.sent)},
                           {"outcome", OutcomeName(record.outcome)},
                           {"path", record.path},
                           {"prompt_tokens", record.prompt_tokens},
                           {"output_tokens", record.output_tokens},
                           {"cached_tokens", record.cached_tokens},
                           {"ttft_ms", absl::ToDoubleMilliseconds(record.ttft)},
                           {"tpot_ms", absl::ToDoubleMilliseconds(record.Tpot())},
                           {"latency_ms", absl::ToDoubleMilliseconds(record.latency)}}
                  .dump()
           << "\n";
    }
  }
  file.close();
  return file ? absl::OkStatus() : absl::InternalError(absl::StrCat("cannot write ", path));
}

}  // namespace

absl::Status RunClusterSimulation(const Config& config) {
  ASSIGN_OR_RETURN(const SimulationOptions options, MakeOptions(config));
  ASSIGN_OR_RETURN(const Workload workload, ReadWorkload(config));
  ASSIGN_OR_RETURN(const std::vector<double> rates, ReadRates(config, workload));
  std::vector<SimulatedRun> runs;
  for (double rate : rates) {
    ASSIGN_OR_RETURN(SimulatedRun run,
                     Simulate(config, options, AtRate(config, workload, rate), rate));
    runs.push_back(std::move(run));
  }
  if (!config.records().empty()) RETURN_IF_ERROR(WriteRecords(runs, config.records()));
  if (!config.json()) {
    std::cout << Table(runs) << std::flush;
    return absl::OkStatus();
  }
  ordered_json list = ordered_json::array();
  for (const SimulatedRun& run : runs) list.push_back(RunJson(run));
  std::cout << ordered_json{{"runs", list}}.dump(1) << std::endl;
  return absl::OkStatus();
}

}  // namespace tandem
