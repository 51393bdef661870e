#include "server/cli/series_output.h"

#include <string>

#include "engine/core/status_macros.h"
#include "server/bench/html_report.h"
#include "server/bench/result_json.h"
#include "server/cli/bench_options.h"
#include "server/cli/json_text.h"
#include "server/cli/text_file.h"

namespace tandem {

absl::Status CheckWritable(const Config& config) {
  for (const std::string& path :
       {config.result(), config.records(), config.html(), config.compose()}) {
    if (!path.empty()) RETURN_IF_ERROR(CheckWritable(path));
  }
  return absl::OkStatus();
}

absl::Status WriteSeries(const Config& config, const RunSeries& series) {
  const ResultJsonOptions options = MakeResultJsonOptions(config);
  if (!config.result().empty()) {
    RETURN_IF_ERROR(WriteFile(config.result(), [&](std::ostream& out) {
      out << JsonText(ResultJson(series, options)) << "\n";
    }));
  }
  if (!config.records().empty()) {
    RETURN_IF_ERROR(WriteFile(config.records(), [&](std::ostream& out) {
      for (const RunResult& run : series.runs) {
        for (const RequestRecord& record : run.records) {
          out << JsonText(RecordJson(record, run.rate, series.targets), -1) << "\n";
        }
      }
    }));
  }
  if (config.html().empty()) return absl::OkStatus();
  return WriteFile(config.html(), [&](std::ostream& out) { out << HtmlReport(series); });
}

}  // namespace tandem
