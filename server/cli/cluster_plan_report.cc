#include "server/cli/cluster_plan_report.h"

#include <algorithm>
#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "scheduler/planner/independent_search.h"

namespace tandem {
namespace {

using nlohmann::ordered_json;

// "TTFT 12.1%, TPOT 0.3%": what is missed just above the rate that holds.
std::string Misses(const ClusterScore& score) {
  std::vector<std::string> parts;
  const auto add = [&parts](const char* name, double share) {
    if (share > 0.0005) parts.push_back(absl::StrFormat("%s %.1f%%", name, 100 * share));
  };
  add("TTFT", score.ttft_missed);
  add("TPOT", score.tpot_missed);
  add("not served", score.unserved);
  return absl::StrJoin(parts, ", ");
}

bool IsTied(const ClusterRanking& ranking, const RankedCluster& entry) {
  return ranking.HasWinner() && &entry != &ranking.ranked.front() &&
         entry.IsTiedWith(ranking.ranked.front());
}

int CopiesWanted(const ClusterPlanReport& report) {
  const RankedCluster& winner = report.winner();
  return NumReplicas(report.demand, winner.PerDevice(), winner.placement.NumDevices());
}

// "1 prefill, 1 decode" on each node, in the order in which instances come.
std::string InstancesByNode(const ClusterPlacement& placement,
                            const std::vector<std::string>& nodes) {
  const auto role = [&](int i) {
    if (i < placement.num_prefill) return "prefill";
    return i < placement.num_prefill + placement.num_decode ? "decode" : "mixed";
  };
  std::vector<std::string> order;
  std::map<std::string, std::vector<std::pair<std::string, int>>> counts;
  for (size_t i = 0; i < nodes.size(); ++i) {
    auto& roles = counts[nodes[i]];
    if (roles.empty()) order.push_back(nodes[i]);
    const char* name = role(static_cast<int>(i));
    if (roles.empty() || roles.back().first != name) roles.emplace_back(name, 0);
    ++roles.back().second;
  }
  std::vector<std::string> parts;
  for (const std::string& node : order) {
    const auto append = [](std::string* out, const auto& entry) {
      absl::StrAppend(out, entry.second, " ", entry.first);
    };
    parts.push_back(absl::StrCat(node, ": ", absl::StrJoin(counts[node], ", ", append)));
  }
  return absl::StrJoin(parts, "; ");
}

// "0.305 +- 0.040" requests per second and device; of the winner itself nothing.
std::string BehindText(const RankedCluster& winner, const RankedCluster& entry) {
  if (&winner == &entry) return "";
  const MeanInterval behind = winner.DifferenceTo(entry);
  return absl::StrFormat("%.3f +- %.3f", behind.mean, behind.half_width);
}

ordered_json PlacementJson(const RankedCluster& winner, const RankedCluster& entry) {
  const auto shape = [](const InstanceRanks& ranks) {
    return ordered_json{{"tp", ranks.tp}, {"pp", ranks.pp}, {"threads", ranks.threads}};
  };
  const ClusterPlacement& placement = entry.placement;
  const ClusterScore& score = entry.score;
  ordered_json json = {{"placement", placement.ToString()},
                       {"prefill", placement.num_prefill},
                       {"decode", placement.num_decode},
                       {"mixed", placement.num_mixed}};
  if (placement.num_prefill > 0) json["prefill_shape"] = shape(placement.prefill);
  if (placement.num_decode > 0) json["decode_shape"] = shape(placement.decode);
  if (placement.num_mixed > 0) json["mixed_shape"] = shape(placement.mixed);
  json["devices"] = placement.NumDevices();
  json["rate"] = score.rate.mean;
  json["half_width"] = score.rate.half_width;
  json["per_device"] = entry.PerDevice();
  json["samples"] = score.samples;
  const MeanInterval behind = winner.DifferenceTo(entry);
  json["behind_winner"] = {{"per_device", behind.mean}, {"half_width", behind.half_width}};
  json["tied"] = &winner != &entry && behind.HasZero();
  json["missed"] = {
      {"ttft", score.ttft_missed}, {"tpot", score.tpot_missed}, {"not_served", score.unserved}};
  return json;
}

std::string PlacementLines(const ClusterRanking& ranking) {
  std::string table = absl::StrFormat("%-40s %7s %9s %9s %11s %15s  %s\n", "placement", "devices",
                                      "req/s", "+-", "per device", "behind", "missed above that");
  for (const RankedCluster& entry : ranking.ranked) {
    const ClusterScore& score = entry.score;
    absl::StrAppendFormat(&table, "%-40s %7d %9.3f %9.3f %11.3f %15s  %s%s\n",
                          entry.placement.ToString(), entry.placement.NumDevices(), score.rate.mean,
                          score.rate.half_width, entry.PerDevice(),
                          BehindText(ranking.ranked.front(), entry), Misses(score),
                          IsTied(ranking, entry) ? "  (tied)" : "");
  }
  if (const size_t count = ranking.outclassed.size(); count > 0) {
    absl::StrAppend(&table, count, count == 1 ? " other serves" : " others serve",
                    " less than 85% of the best of its kind, apart or together, per device\n");
  }
  for (const UnrunnableCluster& entry : ranking.unrunnable) {
    absl::StrAppend(&table, "cannot run  ", entry.placement.ToString(), ": ", entry.reason, "\n");
  }
  return table;
}

std::string NoWinnerText(const ClusterRanking& ranking) {
  if (ranking.ranked.empty()) return "winner    none: no placement can run\n";
  const auto missed = [](const RankedCluster& entry) {
    return entry.score.ttft_missed + entry.score.tpot_missed + entry.score.unserved;
  };
  const RankedCluster& nearest = *std::ranges::min_element(ranking.ranked, {}, missed);
  return absl::StrCat("winner    none: no placement meets the targets at any rate; ",
                      nearest.placement.ToString(), " comes nearest and misses ",
                      Misses(nearest.score), " at the lowest\n");
}

int64_t NumSimulations(const ClusterPlanReport& report) {
  int64_t count = report.ranking.num_simulations;
  if (report.phases) {
    count += report.phases->prefill.num_simulations + report.phases->decode.num_simulations;
  }
  return count;
}

}  // namespace

std::string Verdict(const ClusterRanking& ranking) {
  const RankedCluster* apart = ranking.Best(/*is_disaggregated=*/true);
  const RankedCluster* together = ranking.Best(/*is_disaggregated=*/false);
  if (apart == nullptr || together == nullptr) return "";
  const bool is_apart = apart->PerDevice() > together->PerDevice();
  const RankedCluster& better = is_apart ? *apart : *together;
  const RankedCluster& other = is_apart ? *together : *apart;
  if (better.IsTiedWith(other)) {
    return absl::StrCat("prefill and decode apart or together: no difference that ",
                        better.score.samples.size(), " seeds show\n");
  }
  const std::string misses = Misses(other.score);
  const MeanInterval difference = better.DifferenceTo(other);
  return absl::StrFormat("%s: %s serves %.3f requests/s per device, %.3f +- %.3f less%s\n",
                         is_apart ? "keep prefill and decode apart: the best that does not"
                                  : "do not disaggregate here: the best that does",
                         other.placement.ToString(), other.PerDevice(), difference.mean,
                         difference.half_width,
                         misses.empty() ? "" : absl::StrCat("; above that it misses: ", misses));
}

std::string WinnerText(const ClusterPlanReport& report) {
  if (!report.ranking.HasWinner()) return NoWinnerText(report.ranking);
  const RankedCluster& winner = report.winner();
  const int num_devices = winner.placement.NumDevices();
  std::string text =
      absl::StrFormat("winner    %s: %.3f requests/s on %d device%s\n", winner.placement.ToString(),
                      winner.score.rate.mean, num_devices, num_devices == 1 ? "" : "s");
  if (report.NumCopies() > 1) {
    absl::StrAppendFormat(&text, "copies    %d have room: %.3f requests/s on %d of %d devices\n",
                          report.NumCopies(), report.NumCopies() * winner.score.rate.mean,
                          report.NumCopies() * num_devices, report.num_devices);
  }
  if (report.demand > 0) {
    const int wanted = CopiesWanted(report);
    absl::StrAppendFormat(&text, "demand    %g requests/s: %d %s%s\n", report.demand, wanted,
                          wanted == 1 ? "copy" : "copies",
                          wanted > report.NumCopies() ? ", more than there is room for" : "");
  }
  absl::StrAppend(&text, "nodes     ", InstancesByNode(winner.placement, report.node_names.front()),
                  "\nstart     ", LaunchText(report.launch), "\n");
  if (report.theory) absl::StrAppend(&text, "theory    ", PrefillTheoryText(*report.theory), "\n");
  return text + Verdict(report.ranking);
}

std::string ClusterPlanTable(const ClusterPlanReport& report) {
  std::string table = absl::StrCat(report.title, "\n\n");
  if (report.phases) absl::StrAppend(&table, PhasesTable(*report.phases, report.ranking), "\n");
  absl::StrAppend(&table, PlacementLines(report.ranking), "\n", WinnerText(report));
  absl::StrAppendFormat(&table, "search    %d placements, %d simulations in %s on %d thread%s\n",
                        report.ranking.ranked.size() + report.ranking.outclassed.size(),
                        NumSimulations(report),
                        absl::FormatDuration(absl::Trunc(report.elapsed, absl::Milliseconds(10))),
                        report.num_threads, report.num_threads == 1 ? "" : "s");
  for (const Crossover& crossover : report.crossovers) table += CrossoverTable(crossover);
  if (report.sensitivity) table += SensitivityTable(*report.sensitivity);
  return table;
}

ordered_json ClusterPlanJson(const ClusterPlanReport& report) {
  ordered_json placements = ordered_json::array(), outclassed = ordered_json::array(),
               unrunnable = ordered_json::array();
  for (const RankedCluster& entry : report.ranking.ranked) {
    placements.push_back(PlacementJson(report.winner(), entry));
  }
  for (const OutclassedCluster& entry : report.ranking.outclassed) {
    outclassed.push_back(
        {{"placement", entry.placement.ToString()}, {"per_device_below", entry.per_device_below}});
  }
  for (const UnrunnableCluster& entry : report.ranking.unrunnable) {
    unrunnable.push_back(absl::StrCat(entry.placement.ToString(), ": ", entry.reason));
  }
  ordered_json json = {{"cluster", report.cluster}, {"devices", report.num_devices},
                       {"targets", report.targets}, {"placements", placements},
                       {"outclassed", outclassed},  {"cannot_run", unrunnable},
                       {"winner", nullptr}};
  if (report.phases) json["phases"] = PhasesJson(*report.phases, report.ranking);
  for (const Crossover& crossover : report.crossovers) {
    json["crossovers"].push_back(CrossoverJson(crossover));
  }
  if (!report.ranking.HasWinner()) return json;
  json["winner"] = report.winner().placement.ToString();
  json["copies"] = report.NumCopies();
  if (report.demand > 0) json["copies_wanted"] = CopiesWanted(report);
  json["nodes"] = report.node_names;
  json["launch"] = LaunchJson(report.launch);
  json["verdict"] = std::string(absl::StripAsciiWhitespace(Verdict(report.ranking)));
  if (report.theory) json["theory"] = PrefillTheoryJson(*report.theory);
  if (report.sensitivity) json["sensitivity"] = SensitivityJson(*report.sensitivity);
  return json;
}

}  // namespace tandem
