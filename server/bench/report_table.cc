#include "server/bench/report_table.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace tandem {
namespace {

std::string Percentiles(const Samples& samples, const char* format) {
  if (samples.empty()) return "-";
  std::string text;
  for (double percent : {50, 90, 99}) {
    const auto spec = absl::ParsedFormat<'f'>::New(format);
    absl::StrAppend(&text, text.empty() ? "" : "/",
                    absl::StrFormat(*spec, samples.Percentile(percent)));
  }
  return text;
}

std::string AttainmentText(const SloReport& report) {
  return absl::StrFormat("%.1f%% (%.1f..%.1f)", 100 * report.attainment,
                         100 * report.attainment_interval.low,
                         100 * report.attainment_interval.high);
}

std::string Row(const RunResult& run) {
  const SloReport& report = run.report;
  const std::string outcome =
      absl::StrCat(report.num_served, "/", report.num_failed, "/", report.num_shed);
  const std::string lateness = absl::StrFormat("%.1f/%.1f", report.lateness_ms.Percentile(99),
                                               report.lateness_ms.Percentile(100));
  const std::string cpu =
      run.client_cpu_share ? absl::StrFormat("%.0f%%", 100 * *run.client_cpu_share) : "-";
  return absl::StrFormat("%7s%s %13s %21s %8.2f %18s %16s %8.0f %10s %5s\n", RateText(run.rate),
                         run.was_stopped ? "*" : " ", outcome, AttainmentText(report),
                         report.goodput, Percentiles(report.ttft_ms, "%.0f"),
                         Percentiles(report.tpot_ms, "%.1f"), report.output_throughput, lateness,
                         cpu);
}

// Errors that differ in their numbers only.
struct AlikeErrors {
  int count = 0;
  std::string example;
  bool has_others = false;
};

// Digits as one 0: "prompt has 812 tokens" -> "prompt has 0 tokens".
std::string WithoutNumbers(absl::string_view error) {
  std::string text;
  for (char c : error) {
    if (!absl::ascii_isdigit(c)) {
      text += c;
    } else if (text.empty() || text.back() != '0') {
      text += '0';
    }
  }
  return text;
}

// The errors of all runs, the most frequent first.
std::string ErrorLines(const RunSeries& series) {
  std::map<std::string, AlikeErrors> errors;
  for (const RunResult& run : series.runs) {
    for (const RequestRecord& record : run.records) {
      if (record.outcome == RequestRecord::Outcome::kServed) continue;
      const std::string error = absl::StrCat(OutcomeName(record.outcome), ": ", record.error);
      AlikeErrors& alike = errors[WithoutNumbers(error)];
      if (alike.count++ == 0) alike.example = error;
      alike.has_others = alike.has_others || alike.example != error;
    }
  }
  std::vector<std::pair<int, std::string>> sorted;
  sorted.reserve(errors.size());
  for (const auto& [key, alike] : errors) {
    sorted.emplace_back(
        alike.count,
        absl::StrCat(alike.example,
                     alike.has_others ? " (the first; the others differ in numbers)" : ""));
  }
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  constexpr size_t kMaxLines = 8;
  std::string lines;
  for (size_t i = 0; i < std::min(kMaxLines, sorted.size()); ++i) {
    absl::StrAppend(&lines, sorted[i].first, " x ", sorted[i].second, "\n");
  }
  if (sorted.size() > kMaxLines) {
    absl::StrAppend(&lines, "and ", sorted.size() - kMaxLines, " other errors\n");
  }
  return lines;
}

}  // namespace

std::string RunLine(const RunResult& run, const SloTargets& targets) {
  const SloReport& report = run.report;
  std::string line = absl::StrFormat("rate %s: %d of %d served", RateText(run.rate),
                                     report.num_served, report.num_requests);
  if (!targets.IsEmpty()) absl::StrAppend(&line, ", attainment ", AttainmentText(report));
  absl::StrAppend(&line, ", TTFT ", Percentiles(report.ttft_ms, "%.0f"), " ms, TPOT ",
                  Percentiles(report.tpot_ms, "%.1f"), " ms",
                  run.was_stopped ? "; ended early" : "");
  return line;
}

std::string SearchLine(const SearchResult& search, const SloTargets& targets) {
  std::string line =
      absl::StrFormat("highest rate with attainment >= %g%% of %s: ", 100 * search.attainment,
                      TargetsText(targets));
  if (search.holding == 0) {
    absl::StrAppend(
        &line, "none",
        std::isinf(search.failing) ? "" : absl::StrCat(" down to ", RateText(search.failing)));
  } else {
    absl::StrAppend(&line, RateText(search.holding), " requests/s");
    if (!std::isinf(search.failing)) {
      absl::StrAppend(&line, " (", RateText(search.failing), " does not hold)");
    }
  }
  if (search.was_stopped) absl::StrAppend(&line, "; the search was stopped");
  if (!search.is_certain) {
    absl::StrAppend(&line, "; at some rates --max-requests did not suffice to be sure");
  }
  return line;
}

std::string ReportTable(const RunSeries& series) {
  std::string table =
      absl::StrFormat("%s %s, model %s, workload %s, %s arrivals, targets %s\n\n", series.backend,
                      series.server, series.model, series.workload, series.arrivals,
                      series.targets.IsEmpty() ? "none" : TargetsText(series.targets));
  absl::StrAppend(
      &table,
      absl::StrFormat("%7s  %13s %21s %8s %18s %16s %8s %10s %5s\n", "rate", "served/failed",
                      "attainment", "goodput", "TTFT P50/P90/P99", "TPOT P50/90/99", "output",
                      "late P99", "CPU"),
      absl::StrFormat("%7s  %13s %21s %8s %18s %16s %8s %10s %5s\n", "req/s", "/shed",
                      "(95% interval)", "req/s", "ms", "ms", "tokens/s", "/max ms", "here"));
  bool any_stopped = false;
  for (const RunResult& run : series.runs) {
    table += Row(run);
    any_stopped = any_stopped || run.was_stopped;
  }
  if (any_stopped) table += "* ended early: what was open counts as failed\n";
  if (const std::string errors = ErrorLines(series); !errors.empty()) table += "\n" + errors;
  if (series.search) table += "\n" + SearchLine(*series.search, series.targets) + "\n";
  return table;
}

}  // namespace tandem
