// The files that --result, --records and --html ask for, of runs that were measured or simulated.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "proto/config.pb.h"
#include "server/bench/run_series.h"

namespace tandem {

// INVALID_ARGUMENT names a file, of these or --compose, that cannot be written: an hour's
// measurement must not be lost to a folder that is not there.
absl::Status CheckWritable(const Config& config);

// Writes `text` as the whole of a file. UNKNOWN names it if it cannot be written.
absl::Status WriteText(const std::string& path, const std::string& text);

// Writes them. UNKNOWN names the file that could not be.
absl::Status WriteSeries(const Config& config, const RunSeries& series);

}  // namespace tandem
