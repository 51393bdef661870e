// What tandem replay shows of a log: a few lines, or JSON.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "scheduler/replay/log_replay.h"

namespace tandem {

struct ReplayedLog {
  std::string path;
  bool is_cut_off = false;  // in its last line, which was not played
  ReplayReport report;
};

// Several lines. Of a difference, what surrounds the first byte that is another one.
std::string ReplayText(const ReplayedLog& log);

// All of it; of a difference both lines.
nlohmann::ordered_json ReplayJson(const ReplayedLog& log);

}  // namespace tandem
