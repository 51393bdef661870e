// tandem replay: event logs played on new schedulers, every decision compared with the logged one.
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "server/cli/commands.h"
#include "server/cli/json_text.h"
#include "server/cli/progress_bar.h"
#include "server/cli/replay_report.h"

namespace tandem {
namespace {

// Between two looks at the progress bar, in bytes of the log.
constexpr int64_t kProgressStep = 1 << 20;

absl::StatusOr<ReplayedLog> ReplayFile(const std::string& path) {
  std::error_code failed;
  const auto num_bytes = static_cast<int64_t>(std::filesystem::file_size(path, failed));
  std::ifstream file(path, std::ios::binary);
  if (!failed && !file) failed.assign(errno, std::generic_category());
  if (failed) {
    return absl::NotFoundError(absl::StrCat("cannot read ", path, ": ", failed.message()));
  }
  ProgressBar bar;
  ReplayedLog log{.path = path};
  LogReplay replay;
  std::string line;
  int64_t done = 0;
  while (std::getline(file, line)) {
    // Only a line that its newline ends is whole.
    log.is_cut_off = file.eof();
    if (log.is_cut_off) break;
    if (absl::Status status = replay.Play(line); !status.ok()) {
      return absl::DataLossError(absl::StrCat(path, ", ", status.message()));
    }
    const int64_t before = done;
    done += static_cast<int64_t>(line.size()) + 1;
    if (before / kProgressStep != done / kProgressStep) {
      bar.Show("MiB", static_cast<int>(done >> 20), static_cast<int>((num_bytes >> 20) + 1));
    }
  }
  log.report = replay.report();
  return log;
}

}  // namespace

absl::Status RunReplay(const Config& config) {
  if (config.logs().empty()) return absl::InvalidArgumentError("name the event logs to replay");
  nlohmann::ordered_json logs = nlohmann::ordered_json::array();
  std::string first_other;
  for (const std::string& path : config.logs()) {
    ASSIGN_OR_RETURN(const ReplayedLog log, ReplayFile(path));
    if (config.json()) {
      logs.push_back(ReplayJson(log));
    } else {
      std::cout << ReplayText(log) << std::flush;
    }
    if (log.report.difference && first_other.empty()) {
      first_other = absl::StrCat(path, ", line ", log.report.difference->line);
    }
  }
  if (config.json()) {
    std::cout << JsonText(logs) << std::endl;
  }
  if (first_other.empty()) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("another decision than in ", first_other));
}

}  // namespace tandem
