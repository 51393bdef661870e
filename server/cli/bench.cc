// tandem bench: an open-loop load tester of any OpenAI-compatible server, and of Tandem's gRPC.
#include <sys/resource.h>
#include <unistd.h>

#include <cstdint>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "engine/core/log.h"
#include "engine/core/status_macros.h"
#include "server/bench/comparison.h"
#include "server/bench/load_test.h"
#include "server/bench/report_table.h"
#include "server/bench/result_json.h"
#include "server/cli/bench_options.h"
#include "server/cli/commands.h"
#include "server/cli/json_text.h"
#include "server/cli/series_output.h"
#include "server/cli/signals.h"
#include "server/cli/text_file.h"

namespace tandem {
namespace {

// One line that changes, where stderr is a terminal; a line of each run where it is none too.
class LiveDisplay {
 public:
  explicit LiveDisplay(const SloTargets& targets) : targets_(targets) {}

  void Show(const LoadProgress& progress) {
    if (!is_terminal_) return;
    const LoadCounts& counts = progress.counts;
    std::string line = absl::StrFormat(
        "\rrate %s  %s  sent %d/%d  open %d  served %d", RateText(progress.rate),
        absl::FormatDuration(absl::Trunc(progress.elapsed, absl::Milliseconds(100))), counts.sent,
        progress.num_requests, counts.open(), counts.served);
    if (!targets_.IsEmpty() && counts.ended() > 0) {
      absl::StrAppend(&line,
                      absl::StrFormat("  good %.1f%%", 100.0 * static_cast<double>(counts.good) /
                                                           static_cast<double>(counts.ended())));
    }
    if (counts.failed > 0) absl::StrAppend(&line, "  failed ", counts.failed);
    if (counts.shed > 0) absl::StrAppend(&line, "  shed ", counts.shed);
    std::cerr << line << "\033[K" << std::flush;
  }

  void ShowRun(const RunResult& run) const {
    std::cerr << (is_terminal_ ? "\r\033[K" : "") << RunLine(run, targets_) << std::endl;
  }

 private:
  const SloTargets targets_;
  const bool is_terminal_ = isatty(STDERR_FILENO) != 0;
};

// Every open stream is a descriptor; the usual soft limit is 1024.
void RaiseDescriptorLimit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

absl::Status Compare(const Config& config) {
  if (config.actions_size() < 3) {
    return absl::InvalidArgumentError("compare needs two files or more");
  }
  RETURN_IF_ERROR(CheckWritable(config));
  std::vector<ResultFile> files;
  for (int i = 1; i < config.actions_size(); ++i) {
    ASSIGN_OR_RETURN(std::string content, ReadFile(config.actions(i)));
    files.push_back({.name = config.actions(i), .content = std::move(content)});
  }
  ASSIGN_OR_RETURN(const std::string tables, CompareResults(files));
  std::cout << tables << std::flush;
  if (config.html().empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string page, ComparisonHtml(files));
  return WriteFile(config.html(), [&](std::ostream& out) { out << page; });
}

}  // namespace

absl::Status RunBench(const Config& config) {
  if (config.actions_size() > 0) {
    if (config.actions(0) == "compare") return Compare(config);
    return absl::InvalidArgumentError(
        absl::StrCat("\"", config.actions(0), "\" is not known: it can only be compare"));
  }
  BlockSignals();
  RaiseDescriptorLimit();
  RETURN_IF_ERROR(CheckWritable(config));
  const ResultJsonOptions json_options = MakeResultJsonOptions(config);
  ASSIGN_OR_RETURN(BenchSetup setup, MakeBenchSetup(config, absl::Now()));
  LiveDisplay display(setup.series.targets);
  const LoadTestObserver observer = {
      .on_progress =
          [&display](const LoadProgress& progress) {
            display.Show(progress);
            const int signal = WaitForSignal(absl::ZeroDuration());
            return signal != SIGINT && signal != SIGTERM;
          },
      .on_run = [&display](const RunResult& run) { display.ShowRun(run); }};
  RETURN_IF_ERROR(RunLoadTest(setup.options, observer, setup.series));
  RETURN_IF_ERROR(WriteSeries(config, setup.series));
  if (config.json()) {
    std::cout << JsonText(ResultJson(setup.series, json_options)) << std::endl;
  } else {
    std::cout << ReportTable(setup.series) << std::flush;
  }
  return absl::OkStatus();
}

}  // namespace tandem
