#include "server/cli/plan_theory.h"

#include <array>
#include <cmath>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/core/status_macros.h"
#include "scheduler/planner/md1.h"
#include "server/cli/json_text.h"
#include "server/cli/option_value.h"
#include "server/cli/progress_bar.h"

namespace tandem {
namespace {

using nlohmann::ordered_json;

constexpr std::array<double, 4> kLoads = {0.3, 0.5, 0.7, 0.9};  // where no rates are given
constexpr std::array<QueueKind, 3> kKinds = {QueueKind::kOneDevice, QueueKind::kInterOp,
                                             QueueKind::kIntraOp};
constexpr std::array<const char*, 3> kNames = {"one_device", "inter_op", "intra_op"};

struct TheoryRow {
  double rate = 0;
  std::array<double, 3> formula = {};    // s, by kKinds; infinity where the queue grows
  std::array<double, 3> simulated = {};  // 0: not simulated
};

std::vector<TheoryRow> MakeTheoryRows(const Config& config, const std::vector<double>& rates) {
  std::vector<TheoryRow> rows;
  ProgressBar bar;
  for (double rate : rates) {
    TheoryRow& row = rows.emplace_back();
    row.rate = rate;
    for (size_t i = 0; i < kKinds.size(); ++i) {
      const PrefillQueue queue = {kKinds[i], config.service_time(), config.speedup()};
      row.formula[i] = MeanTtft(queue, rate);
      if (config.theory_requests() == 0 || !std::isfinite(row.formula[i])) continue;
      row.simulated[i] = SimulatedMeanTtft(queue, rate, config.theory_requests(),
                                           static_cast<uint32_t>(config.seed()));
    }
    bar.Show("rate", static_cast<int>(rows.size()), static_cast<int>(rates.size()));
  }
  return rows;
}

std::string Cell(double formula, double simulated) {
  if (!std::isfinite(formula)) return absl::StrFormat("%9s %9s %8s", "-", "-", "");
  if (simulated == 0) return absl::StrFormat("%9.6f %9s %8s", formula, "-", "");
  return absl::StrFormat("%9.6f %9.6f %+7.3f%%", formula, simulated,
                         100 * (simulated / formula - 1));
}

std::string TheoryTable(const Config& config, const std::vector<TheoryRow>& rows) {
  std::string table = absl::StrFormat(
      "mean TTFT (s) of Poisson arrivals (M/D/1); a prompt takes %g s on one device; two devices "
      "as "
      "stages, or\nas a split layer %g times as fast; %d arrivals simulated beside each formula\n\n"
      "%8s  %-28s  %-28s  %-28s\n",
      config.service_time(), config.speedup(), config.theory_requests(), "rate/s", "one device",
      "two stages (inter-op)", "split layers (intra-op)");
  for (const TheoryRow& row : rows) {
    absl::StrAppendFormat(&table, "%8.4g", row.rate);
    for (size_t i = 0; i < kKinds.size(); ++i) {
      absl::StrAppend(&table, "  ", Cell(row.formula[i], row.simulated[i]));
    }
    table += "\n";
  }
  const double load = CrossoverLoad(config.speedup());
  absl::StrAppendFormat(
      &table, "\nstages beat split layers above a load (rate x time) of %.6f: %.4g requests/s\n",
      load, load / config.service_time());
  return table;
}

ordered_json TheoryJson(const Config& config, const std::vector<TheoryRow>& rows) {
  ordered_json values = ordered_json::array();
  for (const TheoryRow& row : rows) {
    ordered_json entry = {{"rate", row.rate}};
    for (size_t i = 0; i < kKinds.size(); ++i) {
      ordered_json value = {{"formula_s", nullptr}, {"simulated_s", nullptr}};
      if (std::isfinite(row.formula[i])) value["formula_s"] = row.formula[i];
      if (row.simulated[i] > 0) value["simulated_s"] = row.simulated[i];
      entry[kNames[i]] = value;
    }
    values.push_back(entry);
  }
  return {{"service_time_s", config.service_time()},
          {"speedup", config.speedup()},
          {"num_simulated", config.theory_requests()},
          {"mean_ttft", values},
          {"crossover_load", CrossoverLoad(config.speedup())}};
}

}  // namespace

absl::Status RunTheory(const Config& config) {
  std::vector<double> rates;
  if (config.rates().empty()) {
    for (double load : kLoads) rates.push_back(load / config.service_time());
  } else {
    rates = NumbersOf(config.rates());
  }
  const std::vector<TheoryRow> rows = MakeTheoryRows(config, rates);
  if (config.json()) {
    std::cout << JsonText(TheoryJson(config, rows)) << std::endl;
  } else {
    std::cout << TheoryTable(config, rows) << std::flush;
  }
  return absl::OkStatus();
}

}  // namespace tandem
