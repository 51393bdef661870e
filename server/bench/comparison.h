// Lays results side by side: ours, and those of `vllm bench serve`.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace tandem {

struct ResultFile {
  std::string name;     // as columns show it
  std::string content;  // JSON, as ResultJson or vllm bench serve write it
};

// A table for each rate that any file has: one column for each file and, behind the first, the
// difference to it. INVALID_ARGUMENT names a file that is no result.
absl::StatusOr<std::string> CompareResults(const std::vector<ResultFile>& files);

// A page of plots over the rate, a curve for each file: attainment, goodput, TTFT, TPOT, and how
// tight the targets could have been; and the tables of CompareResults. Same errors.
absl::StatusOr<std::string> ComparisonHtml(const std::vector<ResultFile>& files);

}  // namespace tandem
