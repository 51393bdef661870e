// What an event log says of its time, without playing it.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace tandem {

struct LogStatistics {
  std::map<std::string, int64_t> calls;   // how many of each name
  std::map<std::string, int64_t> events;  // of an instance's log, by kind
  absl::Time first = absl::InfiniteFuture();
  absl::Time last = absl::InfinitePast();  // of the calls that have a time
  std::vector<double> step_ms;             // from Schedule to Commit or Fail, in the log's order

  // Lines that are no calls count for nothing.
  void Count(const nlohmann::json& call);

 private:
  void CountStep(const nlohmann::json& call, const std::string& name, absl::Time now);

  std::map<uint64_t, absl::Time> step_begins_;  // of those in flight
};

// How many decisions the line holds: a batch, each event, a request accepted or refused, a route,
// each instance taken out, a change of known prefixes.
int64_t NumDecisions(const nlohmann::json& call);

}  // namespace tandem
