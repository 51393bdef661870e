#include "server/cli/plan_html.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "server/bench/html_page.h"
#include "server/bench/svg_plot.h"

namespace tandem {
namespace {

std::string RankingTable(const ClusterRanking& ranking) {
  std::vector<std::vector<std::string>> rows = {
      {"placement", "devices", "requests/s", "+- (95%)", "per device", "behind", "+- (95%)"}};
  for (const RankedCluster& entry : ranking.ranked) {
    const MeanInterval behind = ranking.ranked.front().DifferenceTo(entry);
    rows.push_back({entry.placement.ToString(), absl::StrCat(entry.placement.NumDevices()),
                    absl::StrFormat("%.3f", entry.score.rate.mean),
                    absl::StrFormat("%.3f", entry.score.rate.half_width),
                    absl::StrFormat("%.3f", entry.PerDevice()),
                    absl::StrFormat("%.3f", behind.mean),
                    absl::StrFormat("%.3f", behind.half_width)});
  }
  return HtmlTable(rows);
}

std::string Crossovers(const ClusterPlanReport& report) {
  if (report.crossovers.empty()) return "";
  std::string html = "<h2>Apart or together</h2>\n<ul>\n";
  for (const Crossover& crossover : report.crossovers) {
    absl::StrAppend(&html, "<li>", EscapeHtml(CrossoverSentence(crossover)), "</li>\n");
  }
  html += "</ul>\n<div class=\"plots\">\n";
  for (const Crossover& crossover : report.crossovers) html += RenderPlot(CrossoverPlot(crossover));
  return html + "</div>\n";
}

}  // namespace

std::string ClusterPlanHtml(const ClusterPlanReport& report) {
  std::string body = absl::StrCat("<p>", EscapeHtml(report.title), "</p>\n<pre>",
                                  EscapeHtml(WinnerText(report)), "</pre>\n", Crossovers(report));
  if (report.sensitivity) {
    absl::StrAppend(&body, "<h2>The winner's goodput with one number changed</h2>\n",
                    HtmlTable(SensitivityCells(*report.sensitivity)));
  }
  absl::StrAppend(&body, "<h2>All placements</h2>\n", RankingTable(report.ranking));
  return HtmlPage("Placement of " + report.model, body);
}

}  // namespace tandem
