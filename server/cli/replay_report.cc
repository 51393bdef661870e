#include "server/cli/replay_report.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "scheduler/sim/samples.h"

namespace tandem {
namespace {

using nlohmann::ordered_json;

// Of a line that differs, before the first other byte and from it on: two lines of a terminal.
constexpr size_t kShownBefore = 60;
constexpr size_t kShownFrom = 100;

bool HasTimes(const LogStatistics& statistics) { return statistics.first <= statistics.last; }

std::string FormatUtc(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", time, absl::UTCTimeZone());
}

// "add 12, commit 1200".
std::string ListCounts(const std::map<std::string, int64_t>& counts) {
  return absl::StrJoin(counts, ", ", absl::PairFormatter(" "));
}

size_t FirstOther(absl::string_view a, absl::string_view b) {
  return std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin();
}

std::string Excerpt(absl::string_view line, size_t center) {
  if (line.empty()) return "nothing";
  const size_t begin = center > kShownBefore ? center - kShownBefore : 0;
  const absl::string_view shown = line.substr(begin, center - begin + kShownFrom);
  return absl::StrCat(begin > 0 ? "..." : "", shown,
                      begin + shown.size() < line.size() ? "..." : "");
}

std::string Heading(const ReplayedLog& log) {
  const LogStatistics& statistics = log.report.statistics;
  std::string heading = absl::StrCat(log.path, ": ", log.report.kind.empty() ? "empty" : "");
  absl::StrAppend(&heading, log.report.kind);
  if (HasTimes(statistics)) {
    absl::StrAppendFormat(&heading, ", %.1f s from %s",
                          absl::ToDoubleSeconds(statistics.last - statistics.first),
                          FormatUtc(statistics.first));
  }
  return heading + "\n";
}

}  // namespace

std::string ReplayText(const ReplayedLog& log) {
  const ReplayReport& report = log.report;
  std::string text = Heading(log);
  absl::StrAppendFormat(&text, "  equal     %d of %d calls, %d of %d decisions\n",
                        report.num_equal_calls, report.num_calls, report.num_equal_decisions,
                        report.num_decisions);
  if (const Samples step_ms(report.statistics.step_ms); !step_ms.empty()) {
    absl::StrAppendFormat(&text, "  steps     %d, P50 %.3f ms, P99 %.3f ms\n",
                          step_ms.sorted().size(), step_ms.Percentile(50), step_ms.Percentile(99));
  }
  const auto add_counts = [&text](const char* name, const std::map<std::string, int64_t>& counts) {
    if (!counts.empty()) absl::StrAppend(&text, "  ", name, ListCounts(counts), "\n");
  };
  add_counts("calls     ", report.statistics.calls);
  add_counts("events    ", report.statistics.events);
  if (log.is_cut_off) {
    absl::StrAppend(&text,
                    "  cut off   in its last line, which was left out: the writer was killed, ",
                    "or its disk is full\n");
  }
  if (report.difference) {
    const size_t first = FirstOther(report.difference->logged, report.difference->replayed);
    absl::StrAppend(&text, "  DIFFERS   in line ", report.difference->line, ", at byte ", first + 1,
                    "; what follows was not played\n", "  logged    ",
                    Excerpt(report.difference->logged, first), "\n", "  replayed  ",
                    Excerpt(report.difference->replayed, first), "\n");
  }
  return text;
}

ordered_json ReplayJson(const ReplayedLog& log) {
  const ReplayReport& report = log.report;
  const Samples step_ms(report.statistics.step_ms);
  ordered_json json = {
      {"file", log.path},
      {"kind", report.kind},
      {"equal", !report.difference.has_value()},
      {"cut_off", log.is_cut_off},
      {"num_calls", report.num_calls},
      {"num_equal_calls", report.num_equal_calls},
      {"num_decisions", report.num_decisions},
      {"num_equal_decisions", report.num_equal_decisions},
      {"calls", report.statistics.calls},
      {"events", report.statistics.events},
      {"num_steps", step_ms.sorted().size()},
      {"step_ms", {{"p50", step_ms.Percentile(50)}, {"p99", step_ms.Percentile(99)}}}};
  if (HasTimes(report.statistics)) {
    json["first"] = FormatUtc(report.statistics.first);
    json["last"] = FormatUtc(report.statistics.last);
  }
  if (report.difference) {
    json["difference"] = {{"line", report.difference->line},
                          {"logged", report.difference->logged},
                          {"replayed", report.difference->replayed}};
  }
  return json;
}

}  // namespace tandem
