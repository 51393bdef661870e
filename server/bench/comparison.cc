#include "server/bench/comparison.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/core/status_macros.h"
#include "server/bench/run_series.h"

namespace tandem {
namespace {

using nlohmann::json;

// The runs of one file by rate; of several of one rate the last.
using RunsByRate = std::map<double, json>;

absl::StatusOr<double> RateOf(const json& run, const std::string& name) {
  if (run.is_object()) {
    const auto rate = run.find("request_rate");
    if (rate != run.end() && rate->is_number()) return rate->get<double>();
    if (rate != run.end() && *rate == "inf") return std::numeric_limits<double>::infinity();
  }
  return absl::InvalidArgumentError(absl::StrCat(name, " is no benchmark result"));
}

absl::StatusOr<RunsByRate> ReadRuns(const ResultFile& file) {
  const json parsed = json::parse(file.content, nullptr, /*allow_exceptions=*/false);
  RunsByRate runs;
  if (!parsed.is_object() || !parsed.contains("runs")) {
    ASSIGN_OR_RETURN(const double rate, RateOf(parsed, file.name));
    runs[rate] = parsed;
    return runs;
  }
  for (const json& run : parsed["runs"]) {
    ASSIGN_OR_RETURN(const double rate, RateOf(run, file.name));
    runs[rate] = run;
  }
  return runs;
}

// A row of the table.
struct Metric {
  const char* key;
  const char* name;
  const char* unit;
  double factor = 1;
};
constexpr Metric kMetrics[] = {
    {"num_prompts", "requests sent", ""},
    {"completed", "served", ""},
    {"attainment", "attainment", "%", 100},
    {"request_goodput", "goodput", "req/s"},
    {"request_throughput", "throughput", "req/s"},
    {"output_throughput", "output", "tokens/s"},
    {"median_ttft_ms", "TTFT P50", "ms"},
    {"p90_ttft_ms", "TTFT P90", "ms"},
    {"p99_ttft_ms", "TTFT P99", "ms"},
    {"median_tpot_ms", "TPOT P50", "ms"},
    {"p90_tpot_ms", "TPOT P90", "ms"},
    {"p99_tpot_ms", "TPOT P99", "ms"},
    {"median_itl_ms", "ITL P50", "ms"},
    {"p99_itl_ms", "ITL P99", "ms"},
    {"median_e2el_ms", "E2EL P50", "ms"},
};

std::optional<double> ValueOf(const json* run, const Metric& metric) {
  if (run == nullptr) return std::nullopt;
  const auto value = run->find(metric.key);
  if (value == run->end() || !value->is_number()) return std::nullopt;
  return metric.factor * value->get<double>();
}

std::string Cell(const std::optional<double>& value, const std::optional<double>& first) {
  if (!value) return "-";
  std::string text = absl::StrFormat("%.4g", *value);
  if (first && *first != 0) {
    absl::StrAppend(&text, absl::StrFormat(" (%+.1f%%)", 100 * (*value / *first - 1)));
  }
  return text;
}

constexpr int kNameWidth = 22, kFirstWidth = 14, kOtherWidth = 24;

std::string RateTable(double rate, const std::vector<std::string>& names,
                      const std::vector<const json*>& runs) {
  std::string table =
      absl::StrFormat("%-*s", kNameWidth, absl::StrCat("rate ", RateText(rate), " req/s"));
  for (size_t i = 0; i < names.size(); ++i) {
    absl::StrAppend(&table, absl::StrFormat("%*s", i == 0 ? kFirstWidth : kOtherWidth, names[i]));
  }
  table += "\n";
  for (const Metric& metric : kMetrics) {
    std::vector<std::optional<double>> values;
    values.reserve(runs.size());
    for (const json* run : runs) values.push_back(ValueOf(run, metric));
    if (std::none_of(values.begin(), values.end(), [](const auto& v) { return v.has_value(); })) {
      continue;
    }
    absl::StrAppend(
        &table, absl::StrFormat("%-*s", kNameWidth,
                                absl::StrCat(metric.name, *metric.unit ? ", " : "", metric.unit)));
    for (size_t i = 0; i < values.size(); ++i) {
      absl::StrAppend(&table, absl::StrFormat("%*s", i == 0 ? kFirstWidth : kOtherWidth,
                                              Cell(values[i], i == 0 ? std::nullopt : values[0])));
    }
    table += "\n";
  }
  return table;
}

// "results/mixed.json" -> "mixed", so that columns stay narrow.
std::string ShortName(const std::string& path) {
  std::string name = path.substr(path.rfind('/') + 1);
  if (absl::EndsWith(name, ".json")) name.resize(name.size() - 5);
  return name.substr(0, kOtherWidth - 2);
}

}  // namespace

absl::StatusOr<std::string> CompareResults(const std::vector<ResultFile>& files) {
  std::vector<RunsByRate> all_runs;
  std::vector<std::string> names;
  std::map<double, std::vector<const json*>> rates;
  for (const ResultFile& file : files) {
    ASSIGN_OR_RETURN(RunsByRate runs, ReadRuns(file));
    all_runs.push_back(std::move(runs));
    names.push_back(ShortName(file.name));
  }
  for (size_t i = 0; i < all_runs.size(); ++i) {
    for (const auto& [rate, run] : all_runs[i]) {
      rates[rate].resize(files.size());
      rates[rate][i] = &run;
    }
  }
  std::string tables;
  for (const auto& [rate, runs] : rates) {
    absl::StrAppend(&tables, tables.empty() ? "" : "\n", RateTable(rate, names, runs));
  }
  return tables;
}

}  // namespace tandem
