#include "server/cli/series_output.h"

#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "server/bench/html_report.h"
#include "server/bench/result_json.h"
#include "server/cli/bench_options.h"

namespace tandem {
namespace {

absl::Status WriteFile(const std::string& path, const std::function<void(std::ostream&)>& write) {
  if (path.empty()) return absl::OkStatus();
  std::ofstream file(path);
  write(file);
  file.close();
  if (!file) return absl::UnknownError(absl::StrCat("cannot write ", path));
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckWritable(const Config& config) {
  for (const std::string& path :
       {config.result(), config.records(), config.html(), config.compose()}) {
    if (path.empty()) continue;
    if (!std::ofstream(path, std::ios::app)) {
      return absl::InvalidArgumentError(absl::StrCat("cannot write ", path));
    }
  }
  return absl::OkStatus();
}

absl::Status WriteText(const std::string& path, const std::string& text) {
  return WriteFile(path, [&](std::ostream& out) { out << text; });
}

absl::Status WriteSeries(const Config& config, const RunSeries& series) {
  ASSIGN_OR_RETURN(const ResultJsonOptions options, MakeResultJsonOptions(config));
  RETURN_IF_ERROR(WriteFile(config.result(), [&](std::ostream& out) {
    out << ResultJson(series, options).dump(1) << "\n";
  }));
  RETURN_IF_ERROR(WriteFile(config.records(), [&](std::ostream& out) {
    for (const RunResult& run : series.runs) {
      for (const RequestRecord& record : run.records) {
        out << RecordJson(record, run.rate, series.targets)
                   .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)
            << "\n";
      }
    }
  }));
  RETURN_IF_ERROR(WriteFile(config.html(), [&](std::ostream& out) { out << HtmlReport(series); }));
  return absl::OkStatus();
}

}  // namespace tandem
