#include "server/cli/plan_phases.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/core/status_macros.h"

namespace tandem {
namespace {

using nlohmann::ordered_json;

// Of the numbers of both that promise most: transfer and queues that many instances share move
// the best one a little.
constexpr size_t kMaxJoined = 4;

absl::StatusOr<bool> SearchesPhases(const ClusterPlanner& planner) {
  const std::string& phases = planner.config().phases();
  const bool is_high = planner.affinity() == NodeAffinity::kHigh;
  const SloTargets& targets = planner.targets();
  const bool has_both = targets.ttft && targets.tpot && !targets.latency;
  if (phases != "independent") return phases == "auto" && is_high && has_both;
  if (!is_high) {
    return absl::InvalidArgumentError(
        "--phases independent lets KV go between nodes: it needs --affinity high");
  }
  if (!has_both) {
    return absl::InvalidArgumentError(
        "--phases independent needs a --goodput target for each phase, ttft and tpot, and no "
        "other");
  }
  return true;
}

// Requests per second whose KV an instance's own link carries.
double LinkRate(const ClusterPlanner& planner, const PlanScenario& scenario) {
  const double bytes = planner.MeanPromptTokens() * scenario.prompt_tokens *
                       static_cast<double>(planner.profiles().front().kv_bytes_per_token);
  const double bandwidth = planner.cluster().within_bytes_per_second * scenario.link_bandwidth;
  return bytes > 0 ? bandwidth / bytes : std::numeric_limits<double>::infinity();
}

// The best instance of a phase where none serves more than `most`. `ranking` has a winner.
RankedCluster BestUpTo(const ClusterRanking& ranking, double most) {
  std::vector<RankedCluster> limited = ranking.ranked;
  for (RankedCluster& entry : limited) {
    entry.score.rate.mean = std::min(entry.score.rate.mean, most);
  }
  return *std::ranges::max_element(limited, {}, &RankedCluster::PerDevice);
}

absl::StatusOr<PhaseSearch> SearchPhases(const ClusterPlanner& planner,
                                         const PlanScenario& scenario,
                                         const std::function<void(int done, int all)>& progress) {
  std::vector<ClusterPlacement> prefill, decode;
  for (const InstanceRanks& shape : planner.Shapes()) {
    prefill.push_back({.num_prefill = 1, .prefill = shape});
    decode.push_back({.num_decode = 1, .decode = shape});
  }
  PhaseSearch phases;
  ASSIGN_OR_RETURN(phases.prefill, planner.Rank(prefill, scenario, progress));
  ASSIGN_OR_RETURN(phases.decode, planner.Rank(decode, scenario, progress));
  if (!phases.prefill.HasWinner() || !phases.decode.HasWinner()) return phases;
  const double link_rate = LinkRate(planner, scenario);
  const RankedCluster best_prefill = BestUpTo(phases.prefill, link_rate);
  const RankedCluster best_decode = BestUpTo(phases.decode, link_rate);
  if (const double demand = planner.config().demand(); demand > 0) {
    phases.joined.push_back(JoinForDemand(best_prefill, best_decode, demand));
  }
  for (const JoinedPhases& joined :
       JoinInAllRatios(best_prefill, best_decode, planner.cluster().NumDevices())) {
    if (phases.joined.size() == kMaxJoined) break;
    const bool is_there =
        !phases.joined.empty() && phases.joined.front().placement == joined.placement;
    if (is_there || !planner.Copies(joined.placement, 1).ok()) continue;
    phases.joined.push_back(joined);
  }
  return phases;
}

std::string PhaseLines(const ClusterRanking& ranking) {
  std::string lines;
  for (const RankedCluster& entry : ranking.ranked) {
    absl::StrAppendFormat(&lines, "%-40s %7d %9.3f %9.3f %11.3f\n", entry.placement.ToString(),
                          entry.placement.NumDevices(), entry.score.rate.mean,
                          entry.score.rate.half_width, entry.PerDevice());
  }
  for (const OutclassedCluster& entry : ranking.outclassed) {
    absl::StrAppendFormat(&lines, "%-40s %7d %9s %9s %11s\n", entry.placement.ToString(),
                          entry.placement.NumDevices(), "", "",
                          absl::StrFormat("< %.3f", entry.per_device_below));
  }
  for (const UnrunnableCluster& entry : ranking.unrunnable) {
    absl::StrAppend(&lines, "cannot run  ", entry.placement.ToString(), ": ", entry.reason, "\n");
  }
  return lines;
}

// What the joined placement serves in the full simulation; null: it is not among the ranked ones.
const RankedCluster* FindJoint(const ClusterRanking& ranking, const ClusterPlacement& placement) {
  const auto found = std::ranges::find(ranking.ranked, placement, &RankedCluster::placement);
  return found == ranking.ranked.end() ? nullptr : &*found;
}

std::string ServedText(const ClusterRanking& ranking, const ClusterPlacement& placement) {
  if (const RankedCluster* joint = FindJoint(ranking, placement)) {
    return absl::StrFormat("%.3f served", joint->score.rate.mean);
  }
  const bool is_outclassed =
      std::ranges::find(ranking.outclassed, placement, &OutclassedCluster::placement) !=
      ranking.outclassed.end();
  return is_outclassed ? "far less served" : "there is no room for it";
}

ordered_json PhaseJson(const ClusterRanking& ranking) {
  ordered_json json = ordered_json::array();
  for (const RankedCluster& entry : ranking.ranked) {
    json.push_back({{"instance", entry.placement.ToString()},
                    {"devices", entry.placement.NumDevices()},
                    {"rate", entry.score.rate.mean},
                    {"half_width", entry.score.rate.half_width},
                    {"per_device", entry.PerDevice()}});
  }
  return json;
}

}  // namespace

absl::StatusOr<PlanChoice> FindChoice(const ClusterPlanner& planner, const PlanScenario& scenario,
                                      std::function<void(int done, int all)> progress) {
  PlanChoice choice = {.candidates = planner.Candidates()};
  ASSIGN_OR_RETURN(const bool searches_phases, SearchesPhases(planner));
  if (!searches_phases) return choice;
  ASSIGN_OR_RETURN(choice.phases, SearchPhases(planner, scenario, progress));
  std::erase_if(choice.candidates,
                [](const ClusterPlacement& placement) { return placement.IsDisaggregated(); });
  for (const JoinedPhases& joined : choice.phases->joined) {
    choice.candidates.push_back(joined.placement);
  }
  return choice;
}

std::string PhasesTable(const PhaseSearch& phases, const ClusterRanking& ranking) {
  std::string table = absl::StrFormat(
      "%-40s %7s %9s %9s %11s\n%s%s", "each phase against its own target", "devices", "req/s", "+-",
      "per device", PhaseLines(phases.prefill), PhaseLines(phases.decode));
  for (const JoinedPhases& joined : phases.joined) {
    absl::StrAppendFormat(&table, "together  %s: %.3f requests/s promised, %s\n",
                          joined.placement.ToString(), joined.promised,
                          ServedText(ranking, joined.placement));
  }
  return table;
}

ordered_json PhasesJson(const PhaseSearch& phases, const ClusterRanking& ranking) {
  ordered_json together = ordered_json::array();
  for (const JoinedPhases& joined : phases.joined) {
    const RankedCluster* joint = FindJoint(ranking, joined.placement);
    together.push_back({{"placement", joined.placement.ToString()},
                        {"promised", joined.promised},
                        {"served", nullptr}});
    if (joint != nullptr) together.back()["served"] = joint->score.rate.mean;
  }
  return {{"prefill", PhaseJson(phases.prefill)},
          {"decode", PhaseJson(phases.decode)},
          {"together", together}};
}

}  // namespace tandem
