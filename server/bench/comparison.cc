#include "server/bench/comparison.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/core/status_macros.h"
#include "server/bench/html_page.h"
#include "server/bench/run_series.h"
#include "server/bench/svg_plot.h"

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
    const double percent = std::round(1000 * (*value / *first - 1)) / 10;
    absl::StrAppend(&text, absl::StrFormat(" (%+.1f%%)", percent + 0.0));  // never -0.0
  }
  return text;
}

constexpr int kNameWidth = 22, kMinFirstWidth = 14, kOtherWidth = 24;

std::string RateTable(double rate, const std::vector<std::string>& names,
                      const std::vector<const json*>& runs) {
  std::string table =
      absl::StrFormat("%-*s", kNameWidth, absl::StrCat("rate ", RateText(rate), " req/s"));
  const int first_width = std::max(kMinFirstWidth, static_cast<int>(names[0].size()) + 2);
  for (size_t i = 0; i < names.size(); ++i) {
    absl::StrAppend(&table, absl::StrFormat("%*s", i == 0 ? first_width : kOtherWidth, names[i]));
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
      absl::StrAppend(&table, absl::StrFormat("%*s", i == 0 ? first_width : kOtherWidth,
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

// Files that can be laid side by side: the i-th name is that of the i-th runs.
struct Comparison {
  std::vector<std::string> names;
  std::vector<RunsByRate> runs;
};

// What --label said; empty where nothing.
std::string LabelOf(const RunsByRate& runs) {
  if (runs.empty()) return "";
  const json& run = runs.begin()->second;
  const auto label = run.find("label");
  if (label == run.end() || !label->is_string()) return "";
  return label->get<std::string>().substr(0, kOtherWidth - 2);
}

absl::StatusOr<Comparison> ReadFiles(const std::vector<ResultFile>& files) {
  Comparison comparison;
  std::vector<std::string> labels;
  for (const ResultFile& file : files) {
    ASSIGN_OR_RETURN(RunsByRate runs, ReadRuns(file));
    labels.push_back(LabelOf(runs));
    comparison.runs.push_back(std::move(runs));
    comparison.names.push_back(ShortName(file.name));
  }
  // Labels tell more than names of files, if each has one of its own.
  const std::set<std::string> different(labels.begin(), labels.end());
  if (different.size() == labels.size() && !different.contains("")) comparison.names = labels;
  return comparison;
}

std::string RateTables(const Comparison& comparison) {
  std::map<double, std::vector<const json*>> rates;
  for (size_t i = 0; i < comparison.runs.size(); ++i) {
    for (const auto& [rate, run] : comparison.runs[i]) {
      rates[rate].resize(comparison.runs.size());
      rates[rate][i] = &run;
    }
  }
  std::string tables;
  for (const auto& [rate, runs] : rates) {
    absl::StrAppend(&tables, tables.empty() ? "" : "\n", RateTable(rate, comparison.names, runs));
  }
  return tables;
}

// Over the rate, a curve of `value` for each file; what a run does not have is left out.
template <typename Value>
std::string RatePlot(const Comparison& comparison, Plot plot, Value value) {
  plot.x_label = "requests per second sent";
  for (size_t i = 0; i < comparison.runs.size(); ++i) {
    PlotCurve curve = {.name = comparison.names[i], .has_dots = true};
    for (const auto& [rate, run] : comparison.runs[i]) {
      const std::optional<double> y = value(run);
      if (std::isfinite(rate) && y) curve.points.emplace_back(rate, *y);
    }
    if (!curve.points.empty()) plot.curves.push_back(std::move(curve));
  }
  return plot.curves.empty() ? "" : RenderPlot(plot);
}

std::string MetricPlot(const Comparison& comparison, Plot plot, std::string_view key) {
  const auto metric = std::find_if(std::begin(kMetrics), std::end(kMetrics),
                                   [&](const Metric& each) { return each.key == key; });
  plot.title = metric->name;
  plot.y_label = metric->unit;
  return RatePlot(comparison, std::move(plot),
                  [&](const json& run) { return ValueOf(&run, *metric); });
}

constexpr double kWantedAttainment = 0.9;

// The smallest of a run's scales with which kWantedAttainment of its requests met their targets.
std::optional<double> TightestScale(const json& run) {
  const auto scales = run.find("slo_scale");
  if (scales == run.end() || !scales->is_array()) return std::nullopt;
  for (const json& point : *scales) {
    if (!point.is_object()) continue;
    const std::optional<double> attainment = ValueOf(&point, {"attainment", "", ""});
    if (attainment.value_or(0) >= kWantedAttainment) return ValueOf(&point, {"scale", "", ""});
  }
  return std::nullopt;
}

}  // namespace

absl::StatusOr<std::string> CompareResults(const std::vector<ResultFile>& files) {
  ASSIGN_OR_RETURN(const Comparison comparison, ReadFiles(files));
  return RateTables(comparison);
}

absl::StatusOr<std::string> ComparisonHtml(const std::vector<ResultFile>& files) {
  ASSIGN_OR_RETURN(const Comparison comparison, ReadFiles(files));
  const PlotMark wanted = {.at = 100 * kWantedAttainment,
                           .name = absl::StrFormat("%g%%", 100 * kWantedAttainment)};
  std::string body = "<div class=\"plots\">\n";
  body += MetricPlot(comparison, {.marks = {wanted}, .y_max = 100}, "attainment");
  body += MetricPlot(comparison, {}, "request_goodput");
  body += RatePlot(
      comparison,
      {.title = absl::StrFormat("Tightest targets that %g%% are within", 100 * kWantedAttainment),
       .y_label = "targets times"},
      TightestScale);
  for (std::string_view key :
       {"median_ttft_ms", "p90_ttft_ms", "median_tpot_ms", "p90_tpot_ms", "output_throughput"}) {
    body += MetricPlot(comparison, {}, key);
  }
  absl::StrAppend(&body, "</div>\n<h2>Runs</h2>\n<pre>", EscapeHtml(RateTables(comparison)),
                  "</pre>\n");
  return HtmlPage("Results side by side", body);
}

}  // namespace tandem
