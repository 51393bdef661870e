// The search of `tandem plan` over Tandem's own placements, from the command's options: what there
// is to choose from, and how good each choice is, here or in a situation that differs in something.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/config.pb.h"
#include "scheduler/latency_model.h"
#include "scheduler/planner/cluster_nodes.h"
#include "scheduler/planner/cluster_placement.h"
#include "scheduler/planner/cluster_search.h"
#include "scheduler/sim/profile.h"
#include "scheduler/sim/slo_report.h"
#include "scheduler/sim/workload.h"

namespace tandem {

// What differs from the situation that the options describe.
struct PlanScenario {
  // Factors.
  double prompt_tokens = 1, output_tokens = 1;  // of every request
  double link_bandwidth = 1;
  double kv_tokens = 1;
  double targets = 1;
  std::function<void(LatencyCoefficients*)> change_latency;  // empty: nothing
  // Of the search.
  double tolerance = 0;             // of the rates; 0: as --tolerance says
  double least = 0;                 // as in ClusterSearchOptions
  std::vector<RankedCluster> near;  // the same
};

// Thread-safe once it is created.
class ClusterPlanner {
 public:
  // INVALID_ARGUMENT or NOT_FOUND names the option or file.
  static absl::StatusOr<ClusterPlanner> Create(const Config& config);

  // All placements that the cluster, or with low affinity its largest node, has devices for. A
  // shape that no node has devices for comes once, as an instance that cannot run.
  std::vector<ClusterPlacement> Candidates() const;

  // The shapes of the profile that a node has devices for.
  std::vector<InstanceRanks> Shapes() const;

  // Placements of one phase alone (phase_search.h) are simulated as such, against its target.
  // `progress` as in SearchOptions.
  absl::StatusOr<ClusterRanking> Rank(absl::Span<const ClusterPlacement> candidates,
                                      const PlanScenario& scenario,
                                      std::function<void(int done, int all)> progress) const;

  // The nodes of as many copies as the cluster has room for, at most `max_copies`.
  // FAILED_PRECONDITION: it has room for none.
  absl::StatusOr<std::vector<InstanceNodes>> Copies(const ClusterPlacement& placement,
                                                    int max_copies) const;

  const Config& config() const { return config_; }
  const ClusterNodes& cluster() const { return cluster_; }
  const std::vector<InstanceProfile>& profiles() const { return profile_.instances; }
  const SloTargets& targets() const { return scorer_.targets; }
  NodeAffinity affinity() const { return affinity_; }
  int num_seeds() const { return static_cast<int>(seeds_.size()); }
  int num_threads() const { return num_threads_; }
  int64_t KvTokens(const InstanceProfile& profile) const;
  double MeanPromptTokens() const;
  // Of one request, its answer included.
  int LongestRequest() const;
  // "512:64", or the name of the file that the lengths are from.
  std::string WorkloadName() const;
  // "2 nodes of 8 devices".
  std::string ClusterName() const;

 private:
  ClusterPlanner() = default;
  absl::Status CheckLengths() const;
  bool SharesPrefixes() const;
  absl::StatusOr<DeviceMemory> MemoryOf(const ClusterPlacement& placement) const;
  absl::StatusOr<SimulationOptions> SimulationOf(const ClusterPlacement& placement,
                                                 const PlanScenario& scenario) const;
  InstanceRanks ShapeOf(const InstanceProfile& profile) const;

  Config config_;
  ClusterNodes cluster_;
  NodeAffinity affinity_ = NodeAffinity::kLow;
  Profile profile_;
  ClusterScorerOptions scorer_;                     // without workloads
  std::vector<std::pair<Config, Workload>> seeds_;  // without arrivals; each with its own --seed
  int num_threads_ = 1;
};

}  // namespace tandem
