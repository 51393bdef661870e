#include "server/bench/html_report.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "server/bench/html_page.h"
#include "server/bench/report_table.h"
#include "server/bench/svg_plot.h"

namespace tandem {
namespace {

// Runs in order of their rate; those without a finite one are left out.
std::vector<const RunResult*> ByRate(const RunSeries& series) {
  std::vector<const RunResult*> runs;
  for (const RunResult& run : series.runs) {
    if (std::isfinite(run.rate) && run.report.num_requests > 0) runs.push_back(&run);
  }
  std::stable_sort(runs.begin(), runs.end(),
                   [](const RunResult* a, const RunResult* b) { return a->rate < b->rate; });
  return runs;
}

std::string RunName(const RunResult& run) { return RateText(run.rate) + "/s"; }

// --- Over the rate

Plot AttainmentPlot(const RunSeries& series) {
  Plot plot = {.title = "Attainment of " + TargetsText(series.targets),
               .x_label = "requests per second",
               .y_label = "% of requests",
               .y_max = 100};
  // Runs of one rate are one sample.
  std::map<double, std::pair<int, int>> good_of_all;
  for (const RunResult* run : ByRate(series)) {
    auto& [good, all] = good_of_all[run->rate];
    good += run->report.num_good;
    all += run->report.num_requests;
  }
  PlotCurve curve = {.name = "attainment", .has_dots = true};
  for (const auto& [rate, counts] : good_of_all) {
    const ShareInterval interval = WilsonInterval(counts.first, counts.second);
    curve.points.emplace_back(rate, 100.0 * counts.first / counts.second);
    curve.intervals.emplace_back(100 * interval.low, 100 * interval.high);
  }
  plot.curves.push_back(std::move(curve));
  const double wanted = series.search ? series.search->attainment : 0.9;
  plot.marks.push_back({.at = 100 * wanted, .name = absl::StrFormat("%g%%", 100 * wanted)});
  return plot;
}

Plot GoodputPlot(const RunSeries& series) {
  Plot plot = {.title = "Goodput",
               .x_label = "requests per second sent",
               .y_label = "good requests per second"};
  PlotCurve goodput = {.name = "goodput", .has_dots = true};
  PlotCurve served = {.name = "served", .has_dots = true};
  for (const RunResult* run : ByRate(series)) {
    goodput.points.emplace_back(run->rate, run->report.goodput);
    served.points.emplace_back(run->rate, run->report.request_throughput);
  }
  plot.curves = {std::move(goodput), std::move(served)};
  return plot;
}

Plot PercentilesPlot(const RunSeries& series, const char* name, Samples SloReport::*samples,
                     const std::optional<absl::Duration>& target) {
  Plot plot = {.title = absl::StrCat(name, " over the rate"),
               .x_label = "requests per second",
               .y_label = "ms"};
  for (double percent : {50, 90, 99}) {
    PlotCurve curve = {.name = absl::StrCat("P", percent), .has_dots = true};
    for (const RunResult* run : ByRate(series)) {
      curve.points.emplace_back(run->rate, (run->report.*samples).Percentile(percent));
    }
    plot.curves.push_back(std::move(curve));
  }
  if (target) plot.marks.push_back({.at = absl::ToDoubleMilliseconds(*target), .name = "target"});
  return plot;
}

// --- Of each run

Plot DistributionPlot(const RunSeries& series, const char* name, Samples SloReport::*samples,
                      const std::optional<absl::Duration>& target) {
  constexpr int kPoints = 200;
  Plot plot = {.title = absl::StrCat("Distribution of ", name),
               .x_label = "ms",
               .y_label = "% of served requests",
               .y_max = 100};
  double end = 0;
  for (const RunResult& run : series.runs) {
    const Samples& values = run.report.*samples;
    if (values.empty()) continue;
    PlotCurve curve = {.name = RunName(run), .points = {{0, 0}}};
    for (int i = 0; i <= kPoints; ++i) {
      const double percent = 100.0 * i / kPoints;
      curve.points.emplace_back(values.Percentile(percent), percent);
    }
    end = std::max(end, values.Percentile(99));
    plot.curves.push_back(std::move(curve));
  }
  if (target) {
    const double ms = absl::ToDoubleMilliseconds(*target);
    plot.marks.push_back({.is_vertical = true, .at = ms, .name = "target"});
    end = std::max(end, 1.1 * ms);
  }
  plot.x_max = end;  // the last percent would squeeze all the others
  return plot;
}

Plot ScalePlot(const RunSeries& series) {
  Plot plot = {.title = "Attainment, had the targets been longer or shorter",
               .x_label = "targets times",
               .y_label = "% of requests",
               .is_log_x = true,
               .y_max = 100};
  for (const RunResult& run : series.runs) {
    PlotCurve curve = {.name = RunName(run)};
    for (const SloScalePoint& point : run.report.slo_scale) {
      curve.points.emplace_back(point.scale, 100 * point.attainment);
    }
    plot.curves.push_back(std::move(curve));
  }
  plot.marks.push_back({.is_vertical = true, .at = 1, .name = "as given"});
  return plot;
}

Plot LoadPlot(const RunResult& run) {
  Plot plot = {
      .title = "Requests open at " + RunName(run), .x_label = "seconds", .y_label = "requests"};
  PlotCurve waiting = {.name = "wait for their first token"},
            streaming = {.name = "being answered"};
  for (const LoadPoint& point : run.report.timeline) {
    const double seconds = absl::ToDoubleSeconds(point.time);
    waiting.points.emplace_back(seconds, point.waiting);
    streaming.points.emplace_back(seconds, point.streaming);
  }
  plot.curves = {std::move(waiting), std::move(streaming)};
  return plot;
}

// --- The page

std::string Facts(const RunSeries& series) {
  std::vector<std::pair<std::string, std::string>> facts = {
      {"Server", series.backend + " " + series.server},
      {"Model", series.model},
      {"Workload (prompt:output tokens)", series.workload},
      {"Arrivals", series.arrivals == "gamma"
                       ? absl::StrCat("gamma, burstiness ", series.burstiness)
                       : series.arrivals},
      {"Targets (ms)", series.targets.IsEmpty() ? "none" : TargetsText(series.targets)},
      {"Seed", absl::StrCat(series.seed)},
      {"Made by", series.tool}};
  facts.insert(facts.end(), series.metadata.begin(), series.metadata.end());
  std::string html = "<table>";
  for (const auto& [name, value] : facts) {
    absl::StrAppend(&html, "<tr><td>", EscapeHtml(name), "</td><td>", EscapeHtml(value),
                    "</td></tr>\n");
  }
  return html + "</table>\n";
}

std::string ThreePercentiles(const Samples& samples) {
  return absl::StrFormat("%.1f / %.1f / %.1f", samples.Percentile(50), samples.Percentile(90),
                         samples.Percentile(99));
}

std::string RunTable(const RunSeries& series) {
  std::string html =
      "<table><tr><th>Rate /s</th><th>Sent</th><th>Served</th><th>Failed</th><th>Shed</th>"
      "<th>Attainment (95%)</th><th>Goodput /s</th><th>TTFT P50 / P90 / P99 ms</th>"
      "<th>TPOT P50 / P90 / P99 ms</th><th>Output tokens/s</th><th>Late P99 ms</th></tr>\n";
  for (const RunResult& run : series.runs) {
    const SloReport& report = run.report;
    absl::StrAppend(&html, "<tr><td>", RateText(run.rate), run.was_stopped ? " (ended early)" : "",
                    "</td><td>", report.num_requests, "</td><td>", report.num_served, "</td><td>",
                    report.num_failed, "</td><td>", report.num_shed,
                    absl::StrFormat("</td><td>%.1f%% (%.1f..%.1f)</td><td>%.2f",
                                    100 * report.attainment, 100 * report.attainment_interval.low,
                                    100 * report.attainment_interval.high, report.goodput),
                    "</td><td>", ThreePercentiles(report.ttft_ms), "</td><td>",
                    ThreePercentiles(report.tpot_ms),
                    absl::StrFormat("</td><td>%.0f</td><td>%.1f</td></tr>\n",
                                    report.output_throughput, report.lateness_ms.Percentile(99)));
  }
  return html + "</table>\n";
}

std::string Plots(const RunSeries& series) {
  const SloTargets& targets = series.targets;
  std::string html = "<h2>All runs</h2><div class=\"plots\">\n";
  if (ByRate(series).size() > 1) {
    if (!targets.IsEmpty()) html += RenderPlot(AttainmentPlot(series));
    html += RenderPlot(GoodputPlot(series));
    html += RenderPlot(PercentilesPlot(series, "TTFT", &SloReport::ttft_ms, targets.ttft));
    html += RenderPlot(PercentilesPlot(series, "TPOT", &SloReport::tpot_ms, targets.tpot));
  }
  html += RenderPlot(DistributionPlot(series, "TTFT", &SloReport::ttft_ms, targets.ttft));
  html += RenderPlot(DistributionPlot(series, "TPOT", &SloReport::tpot_ms, targets.tpot));
  if (!targets.IsEmpty()) html += RenderPlot(ScalePlot(series));
  html += "</div>\n<h2>Queues over time</h2><div class=\"plots\">\n";
  for (const RunResult& run : series.runs) html += RenderPlot(LoadPlot(run));
  return html + "</div>\n";
}

}  // namespace

std::string HtmlReport(const RunSeries& series) {
  const std::string title = series.label.empty() ? "Goodput of " + series.model : series.label;
  std::string body = Facts(series);
  if (series.search) {
    absl::StrAppend(&body, "<p><b>", EscapeHtml(SearchLine(*series.search, series.targets)),
                    "</b></p>\n");
  }
  absl::StrAppend(&body, "<h2>Runs</h2>\n", RunTable(series), Plots(series),
                  "<p>Latencies count from the moment a request was sent; how late that was stands "
                  "beside them. Failed and shed requests count as misses.</p>\n");
  return HtmlPage(title, body);
}

}  // namespace tandem
