// A plan as one HTML page that needs no other file.
#pragma once

#include <string>

#include "server/cli/cluster_plan_report.h"

namespace tandem {

// Ranking, winner and verdict; with plots of crossovers and the table of sensitivities where there
// are such.
std::string ClusterPlanHtml(const ClusterPlanReport& report);

}  // namespace tandem
