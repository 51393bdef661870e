// How to start a placement: command lines of the daemon, and an override of deploy/compose.yaml.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "scheduler/planner/cluster_placement.h"
#include "server/cli/cluster_planner.h"

namespace tandem {

struct LaunchProcess {
  std::string node;
  std::vector<std::string> args;  // of the tandem binary: "worker", "--role", ...
};

struct LaunchPlan {
  // `tandem serve` with what the plan assumes of workers. Empty where it cannot start this: nodes
  // or the roles' shapes differ.
  std::vector<std::string> serve;
  // The same as single processes: scheduler, gateway and workers.
  std::vector<LaunchProcess> processes;
  // An override of deploy/compose.yaml. Empty where nodes differ.
  std::string compose;
};

// One copy of `placement`, whose instances (prefill, decode, mixed ones) stand on `nodes`. Errors
// as FindProfile.
absl::StatusOr<LaunchPlan> MakeLaunchPlan(const ClusterPlanner& planner,
                                          const ClusterPlacement& placement,
                                          const std::vector<std::string>& nodes);

// "tandem serve --model 'my model'".
std::string CommandText(const std::vector<std::string>& args);

// For the terminal: the command of tandem serve or, where there is none, a line for each process;
// such that are alike in one.
std::string LaunchText(const LaunchPlan& plan);

// {"serve": "tandem serve ..", "processes": [{"node": "", "command": ""}], "compose": ""}; null for
// what is empty.
nlohmann::ordered_json LaunchJson(const LaunchPlan& plan);

}  // namespace tandem
