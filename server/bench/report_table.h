// Runs as a table for the terminal.
#pragma once

#include <string>

#include "server/bench/run_series.h"

namespace tandem {

// A line for each run, errors that came most often, and the search's result if there was one.
std::string ReportTable(const RunSeries& series);

// "attainment 93.2% (90.1..95.4)" and the like: a run in one line, for while others go on.
std::string RunLine(const RunResult& run, const SloTargets& targets);

// The search's result in words.
std::string SearchLine(const SearchResult& search, const SloTargets& targets);

}  // namespace tandem
