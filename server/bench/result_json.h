// Results as JSON: in the shape of `vllm bench serve`, so that people's scripts read them, with
// our own keys beside.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "server/bench/run_series.h"

namespace tandem {

struct ResultJsonOptions {
  std::vector<double> percentiles = {50, 90, 95, 99};
  bool is_detailed = false;  // with lists of every request's figures (seconds, as vLLM has them)
};

// One flat object of one run; of several {"search":{},"runs":[...]}.
nlohmann::ordered_json ResultJson(const RunSeries& series, const ResultJsonOptions& options);

// One object for a request; times in ms, from the start of its run or from its sending.
nlohmann::ordered_json RecordJson(const RequestRecord& record, double rate,
                                  const SloTargets& targets);

}  // namespace tandem
