// The files that --result, --records and --html ask for, of runs that were measured or simulated.
#pragma once

#include "absl/status/status.h"
#include "proto/config.pb.h"
#include "server/bench/run_series.h"

namespace tandem {

// Fails for one of these, or --compose, that cannot be written: an hour's measurement must not be
// lost to a folder that is not there.
absl::Status CheckWritable(const Config& config);

// Writes them.
absl::Status WriteSeries(const Config& config, const RunSeries& series);

}  // namespace tandem
