// Where keeping prefill and decode apart begins to pay: the best placement of either kind, over
// prompt length, link speed and targets.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "scheduler/planner/cluster_search.h"
#include "scheduler/planner/confidence_interval.h"
#include "server/bench/svg_plot.h"
#include "server/cli/cluster_planner.h"

namespace tandem {

// The best of one kind at one point; without a name there is none that can run.
struct CrossoverSide {
  std::string placement;
  double per_device = 0;  // requests per second
  double half_width = 0;  // of its 95% interval
};

struct CrossoverPoint {
  double x = 0;
  CrossoverSide apart, together;
  MeanInterval difference;  // of apart to together, seed by seed

  // 1: apart serves more, -1: together does, 0: the seeds show no difference.
  int Winner() const;
};

struct Crossover {
  std::string name;                    // "prompt"
  std::string quantity;                // "prompt length"
  std::string unit;                    // "tokens"
  double here = 0;                     // x as the options say
  std::vector<CrossoverPoint> points;  // by x
};

// What --crossover lists. INVALID_ARGUMENT names what is none of prompt, link and slo.
absl::StatusOr<std::vector<std::string>> ParseCrossovers(absl::string_view text);

// Searches again at some points around the situation of `base`, which is the ranking there. Prompts
// so long that no instance has room for their KV are left out. `progress` is told how many of all
// points are done.
absl::StatusOr<Crossover> FindCrossover(const ClusterPlanner& planner, const ClusterRanking& base,
                                        const std::string& name,
                                        const std::function<void(int done, int all)>& progress);

// "prompt length: together serves more below about 210 tokens, apart above".
std::string CrossoverSentence(const Crossover& crossover);

// A line for each point, and the sentence.
std::string CrossoverTable(const Crossover& crossover);
nlohmann::ordered_json CrossoverJson(const Crossover& crossover);
Plot CrossoverPlot(const Crossover& crossover);

}  // namespace tandem
