// How much the winner's goodput hangs on each number that went into the search.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "scheduler/planner/cluster_search.h"
#include "server/cli/cluster_planner.h"

namespace tandem {

// One number a tenth smaller or larger.
struct SensitivityCase {
  double change = 0;      // of the winner's goodput: 0.08 is 8% more
  std::string overtaken;  // the rival that is then better; empty: none
};

struct SensitivityRow {
  std::string name;  // "prefill ms per token"
  SensitivityCase less, more;
};

struct Sensitivity {
  std::vector<SensitivityRow> rows;
  std::vector<std::string> rivals;  // that were scored beside the winner
  double tolerance = 0;             // of the rates found: what is less than that shows nothing
};

// Scores the winner of `base` and those next behind it with each step-time coefficient that is not
// 0, the KV capacity, the links, the lengths and the targets a tenth less and more. `base` has a
// winner. `progress` as in FindCrossover.
absl::StatusOr<Sensitivity> FindSensitivity(const ClusterPlanner& planner,
                                            const ClusterRanking& base,
                                            const std::function<void(int done, int all)>& progress);

std::string SensitivityTable(const Sensitivity& sensitivity);
nlohmann::ordered_json SensitivityJson(const Sensitivity& sensitivity);

// Rows of cells, the first with headings.
std::vector<std::vector<std::string>> SensitivityCells(const Sensitivity& sensitivity);

}  // namespace tandem
