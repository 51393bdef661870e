// tandem simulate: latencies and attainment of a placement under simulated load.
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/core/status_macros.h"
#include "scheduler/planner/placement.h"
#include "scheduler/planner/simdistserve_scorer.h"
#include "scheduler/sim/compat/distserve_simulator.h"
#include "server/cli/cluster_simulation.h"
#include "server/cli/commands.h"
#include "server/cli/compat_options.h"
#include "server/cli/json_text.h"
#include "server/cli/option_value.h"
#include "server/cli/progress_bar.h"
#include "server/cli/text_file.h"

namespace tandem {
namespace {

using nlohmann::ordered_json;

// One arrival rate.
struct CompatRow {
  std::string rate;  // as it is shown: "6.9", "inf", "trace"
  std::vector<CompatRequest> requests;
  std::vector<CompatTimes> times;
  CompatReport report;
};

struct CompatSimulation {
  Placement placement;
  DistServeSetup setup;
  CompatSlo slo;
  std::vector<CompatRow> rows;

  int NumGpus() const {
    const int num_decode =
        placement.decode ? setup.num_decode * placement.cross_node_pp * placement.decode->NumGpus()
                         : 0;
    return setup.num_prefill * placement.cross_node_pp * placement.prefill.NumGpus() + num_decode;
  }
};

absl::StatusOr<std::vector<CompatRow>> MakeTraceRow(const Config& config) {
  const char* unread = !config.rates().empty() ? "rates"
                       : config.requests() > 0 ? "requests"
                                               : nullptr;
  if (unread != nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("option --", unread, ": not with --compat and --trace together"));
  }
  ASSIGN_OR_RETURN(const std::string json, ReadFile(config.trace()));
  absl::StatusOr<std::vector<CompatRequest>> requests = ParseCustomTrace(json);
  if (!requests.ok()) return Annotate(requests.status(), config.trace());
  std::vector<CompatRow> rows;
  rows.push_back({.rate = "trace", .requests = *std::move(requests)});
  return rows;
}

absl::StatusOr<std::vector<CompatRow>> MakeRows(const Config& config) {
  if (config.arrivals() == "gamma" || (config.arrivals() == "trace" && config.trace().empty())) {
    return absl::InvalidArgumentError(absl::StrCat(
        "option --arrivals: with --compat, expected poisson, constant or a --trace, got \"",
        config.arrivals(), "\""));
  }
  if (!config.trace().empty()) return MakeTraceRow(config);
  ASSIGN_OR_RETURN(const std::vector<RequestLengths> lengths, LoadFirstCompatLengths(config));
  const std::vector<double> rates = NumbersOf(config.rates());
  if (rates.empty()) return absl::InvalidArgumentError("--rates is required");
  const auto num_requests = static_cast<int>(lengths.size());
  const std::vector<double> gaps =
      config.arrivals() == "constant"
          ? FixedGaps(num_requests)
          : PoissonGaps(num_requests, static_cast<uint32_t>(config.seed()));
  std::vector<CompatRow> rows;
  rows.reserve(rates.size());
  for (double rate : rates) {  // at an infinite one every gap is 0
    rows.push_back({.rate = absl::StrCat(rate), .requests = MakeRequests(lengths, gaps, rate)});
  }
  return rows;
}

absl::StatusOr<CompatSimulation> SimulateCompat(const Config& config) {
  CompatSimulation simulation;
  ASSIGN_OR_RETURN(const DistServeProfile profile, LoadCompatProfile(config));
  ASSIGN_OR_RETURN(simulation.slo, ParseCompatSlo(config));
  if (config.placement().empty()) return absl::InvalidArgumentError("--placement is required");
  ASSIGN_OR_RETURN(simulation.placement, ParsePlacement(config.placement()));
  ASSIGN_OR_RETURN(simulation.setup,
                   MakeDistServeSetup(profile, config.model(), simulation.placement));
  simulation.setup.num_prefill = config.prefill() < 0 ? 1 : static_cast<int>(config.prefill());
  simulation.setup.num_decode = config.decode() < 0 ? 1 : static_cast<int>(config.decode());
  if (simulation.setup.num_prefill == 0 || simulation.setup.num_decode == 0) {
    return absl::InvalidArgumentError("--prefill and --decode must be at least 1");
  }
  ASSIGN_OR_RETURN(simulation.rows, MakeRows(config));
  ProgressBar bar;
  int num_done = 0;
  for (CompatRow& row : simulation.rows) {
    ASSIGN_OR_RETURN(row.times, SimulateDistServe(simulation.setup, row.requests));
    row.report = MakeCompatReport(row.requests, row.times, simulation.slo);
    bar.Show("rate", ++num_done, static_cast<int>(simulation.rows.size()));
  }
  return simulation;
}

ordered_json SummaryJson(const LatencySummary& summary) {
  return {{"mean", summary.mean}, {"p50", summary.p50}, {"p90", summary.p90}, {"p99", summary.p99}};
}

ordered_json SimulationJson(const CompatSimulation& simulation, const Config& config) {
  ordered_json rows = ordered_json::array();
  for (const CompatRow& row : simulation.rows) {
    rows.push_back({{"rate", row.rate},
                    {"num_requests", row.requests.size()},
                    {"ttft_ms", SummaryJson(row.report.ttft)},
                    {"tpot_ms", SummaryJson(row.report.tpot)},
                    {"attainment", row.report.attainment},
                    {"meets_slo", row.report.meets_slo},
                    {"makespan_ms", row.report.makespan_ms}});
  }
  return {{"compat", config.compat()},
          {"model", config.model()},
          {"placement", simulation.placement.ToString()},
          {"num_prefill", simulation.setup.num_prefill},
          {"num_decode", simulation.setup.is_colocated ? 0 : simulation.setup.num_decode},
          {"num_gpus", simulation.NumGpus()},
          {"arrivals", config.arrivals()},
          {"seed", config.seed()},
          {"slo_ms", {{"ttft", simulation.slo.ttft_ms}, {"tpot", simulation.slo.tpot_ms}}},
          {"rates", rows}};
}

std::string SimulationTable(const CompatSimulation& simulation, const Config& config) {
  const CompatSlo& slo = simulation.slo;
  std::string table = absl::StrFormat(
      "%s as %s simulates it: placement %s, %d GPUs; %d requests, seed %d\n"
      "met: P%g TTFT < %g ms and P%g TPOT < %g ms; both: share of requests within both; ms\n\n"
      "%8s %9s %9s %9s %9s  %8s %8s %8s %8s  %7s %5s %12s\n",
      config.model(), config.compat(), simulation.placement.ToString(), simulation.NumGpus(),
      simulation.rows.front().requests.size(), config.seed(), slo.ttft_percentile, slo.ttft_ms,
      slo.tpot_percentile, slo.tpot_ms, "rate/s", "TTFT mean", "P50", "P90", "P99", "TPOT", "P50",
      "P90", "P99", "both", "met", "makespan");
  for (const CompatRow& row : simulation.rows) {
    const CompatReport& report = row.report;
    absl::StrAppendFormat(
        &table, "%8s %9.3f %9.3f %9.3f %9.3f  %8.3f %8.3f %8.3f %8.3f  %6.2f%% %5s %12.3f\n",
        row.rate, report.ttft.mean, report.ttft.p50, report.ttft.p90, report.ttft.p99,
        report.tpot.mean, report.tpot.p50, report.tpot.p90, report.tpot.p99,
        100 * report.attainment, report.meets_slo ? "yes" : "no", report.makespan_ms);
  }
  return table;
}

// Every request of every row, as CSV or as JSON lines.
void WriteRequests(const CompatSimulation& simulation, bool is_csv, std::ostream& file) {
  if (is_csv) {
    file << "rate,request,arrival_ms,prompt_len,output_len,ttft_ms,tpot_ms,exit_ms\n";
  }
  for (const CompatRow& row : simulation.rows) {
    for (size_t i = 0; i < row.requests.size(); ++i) {
      const CompatRequest& request = row.requests[i];
      const CompatTimes& times = row.times[i];
      const double ttft_ms = times.first_token_ms - request.arrival_ms;
      const double tpot_ms = CompatTpot(request, times);
      if (is_csv) {
        file << absl::StreamFormat("%s,%d,%.6f,%d,%d,%.6f,%.6f,%.6f\n", row.rate, i,
                                   request.arrival_ms, request.prompt_len, request.output_len,
                                   ttft_ms, tpot_ms, times.exit_ms);
        continue;
      }
      file << JsonText({{"rate", row.rate},
                        {"request", i},
                        {"arrival_ms", request.arrival_ms},
                        {"prompt_len", request.prompt_len},
                        {"output_len", request.output_len},
                        {"ttft_ms", ttft_ms},
                        {"tpot_ms", tpot_ms},
                        {"exit_ms", times.exit_ms}},
                       -1)
           << "\n";
    }
  }
}

}  // namespace

absl::Status RunSimulate(const Config& config) {
  if (config.compat().empty()) return RunClusterSimulation(config);
  const std::string& records = config.records();
  if (!records.empty()) RETURN_IF_ERROR(CheckWritable(records));
  ASSIGN_OR_RETURN(const CompatSimulation simulation, SimulateCompat(config));
  if (!records.empty()) {
    RETURN_IF_ERROR(WriteFile(records, [&](std::ostream& file) {
      WriteRequests(simulation, absl::EndsWith(records, ".csv"), file);
    }));
  }
  if (config.json()) {
    std::cout << JsonText(SimulationJson(simulation, config)) << std::endl;
  } else {
    std::cout << SimulationTable(simulation, config) << std::flush;
  }
  return absl::OkStatus();
}

}  // namespace tandem
