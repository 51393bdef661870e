// The options of `tandem bench` as what the load tester takes.
#pragma once

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/config.pb.h"
#include "server/bench/load_test.h"
#include "server/bench/result_json.h"
#include "server/bench/run_series.h"

namespace tandem {

struct BenchSetup {
  LoadTestOptions options;
  RunSeries series;  // all but runs and search
};

// Asks the server for its model where none is named, and reads the trace. Prompts differ from those
// of any other time `now`. INVALID_ARGUMENT names the option that is wrong; UNAVAILABLE where the
// server does not answer, NOT_FOUND where there is no such trace.
absl::StatusOr<BenchSetup> MakeBenchSetup(const Config& config, absl::Time now);

// From --percentiles and --detailed.
ResultJsonOptions MakeResultJsonOptions(const Config& config);

}  // namespace tandem
