// Runs as one HTML page that needs no other file: facts, a table, plots as inline SVG.
#pragma once

#include <string>

#include "server/bench/run_series.h"

namespace tandem {

// Attainment and latencies over the rate, where there are several; the distributions of TTFT and
// TPOT; attainment had the targets been scaled; how many requests waited and were being answered
// over each run's time.
std::string HtmlReport(const RunSeries& series);

}  // namespace tandem
