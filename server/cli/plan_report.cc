#include "server/cli/plan_report.h"

#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace tandem {
namespace {

using nlohmann::ordered_json;

std::string IntervalText(const GoodputScore& score) {
  if (score.half_width == 0) return "";
  const auto [min, max] = std::ranges::minmax(score.samples);
  return absl::StrFormat("  +- %.4f  (%.4f..%.4f)", score.half_width, min, max);
}

std::string RankingLines(const PlacementRanking& ranking) {
  std::string lines =
      absl::StrFormat("%-20s %5s %14s %9s\n", "placement", "GPUs", "req/s per GPU", "req/s");
  for (const RankedPlacement& entry : ranking.ranked) {
    const int num_gpus = entry.placement.NumGpus();
    absl::StrAppendFormat(&lines, "%-20s %5d %14.7g %9.4g%s\n", entry.placement.ToString(),
                          num_gpus, entry.score.per_gpu, entry.score.per_gpu * num_gpus,
                          IntervalText(entry.score));
  }
  std::map<std::string, std::vector<std::string>> by_reason;
  for (const UnrunnablePlacement& entry : ranking.unrunnable) {
    by_reason[entry.reason].push_back(entry.placement.ToString());
  }
  for (const auto& [reason, placements] : by_reason) {
    absl::StrAppend(&lines, "cannot run, ", reason, ": ", absl::StrJoin(placements, " "), "\n");
  }
  return lines;
}

std::string NoWinnerLine(const PlacementRanking& ranking) {
  return ranking.ranked.empty() ? "winner    none: no placement can run\n"
                                : "winner    none: no placement meets the targets\n";
}

// Where the search passed at every rate, the goodput is no more than a lower bound.
bool IsBounded(const RankedPlacement& winner, const RateBounds& bounds) {
  return winner.score.per_gpu + bounds.tolerance >= bounds.max_rate;
}

std::vector<std::string> TiedNames(const PlacementRanking& ranking) {
  std::vector<std::string> names;
  for (const Placement& placement : ranking.TiedWithWinner()) names.push_back(placement.ToString());
  return names;
}

std::string WinnerLines(const PlacementRanking& ranking, const RateBounds& bounds) {
  if (!ranking.HasWinner()) return NoWinnerLine(ranking);
  const RankedPlacement& winner = ranking.ranked.front();
  std::string lines =
      absl::StrFormat("winner    %s: %.7g requests/s per GPU%s\n", winner.placement.ToString(),
                      winner.score.per_gpu, IntervalText(winner.score));
  const std::vector<std::string> tied = TiedNames(ranking);
  if (IsBounded(winner, bounds)) {
    absl::StrAppendFormat(&lines, "          it passed up to the highest rate tried, %g per GPU\n",
                          bounds.max_rate);
  }
  if (!tied.empty()) {
    absl::StrAppend(&lines, "tied      not told apart from it: ", absl::StrJoin(tied, " "), "\n");
  }
  return lines;
}

std::string GpuRange(int first, int count) {
  return count == 1 ? absl::StrCat(first) : absl::StrCat(first, "-", first + count - 1);
}

std::string SegmentLines(const std::vector<SegmentLocation>& segments) {
  std::string lines;
  for (const SegmentLocation& segment : segments) {
    absl::StrAppendFormat(&lines, "node %-4d layers %d-%d: GPUs %s prefill", segment.node,
                          segment.first_layer, segment.first_layer + segment.num_layers - 1,
                          GpuRange(segment.first_prefill_gpu, segment.num_prefill_gpus));
    absl::StrAppend(
        &lines,
        segment.num_decode_gpus == 0
            ? " and decode"
            : absl::StrCat(", ", GpuRange(segment.first_decode_gpu, segment.num_decode_gpus),
                           " decode"));
    lines += "\n";
  }
  return lines;
}

std::string ReplicaText(const RankedPlacement& winner, double demand) {
  const int num_gpus = winner.placement.NumGpus();
  const int num_replicas = NumReplicas(demand, winner.score.per_gpu, num_gpus);
  return absl::StrFormat("%d x %s on %d GPUs", num_replicas, winner.placement.ToString(),
                         num_replicas * num_gpus);
}

std::string SearchLine(size_t num_placements, size_t num_unrunnable, int64_t num_simulations,
                       const PlanReport& report) {
  return absl::StrFormat(
      "search    %d placements (%d cannot run), %d simulations in %.3f s on %d thread%s\n",
      num_placements, num_unrunnable, num_simulations, absl::ToDoubleSeconds(report.elapsed),
      report.num_threads, report.num_threads == 1 ? "" : "s");
}

ordered_json RankingJson(const PlacementRanking& ranking) {
  ordered_json ranked = ordered_json::array(), unrunnable = ordered_json::array();
  for (const RankedPlacement& entry : ranking.ranked) {
    ranked.push_back({{"placement", entry.placement.ToString()},
                      {"num_gpus", entry.placement.NumGpus()},
                      {"goodput_per_gpu", entry.score.per_gpu},
                      {"half_width_95", entry.score.half_width},
                      {"samples", entry.score.samples}});
  }
  for (const UnrunnablePlacement& entry : ranking.unrunnable) {
    unrunnable.push_back({{"placement", entry.placement.ToString()}, {"reason", entry.reason}});
  }
  const ordered_json winner =
      ranking.HasWinner() ? ordered_json(ranking.ranked.front().placement.ToString()) : nullptr;
  return {{"winner", winner},
          {"tied", TiedNames(ranking)},
          {"placements", ranked},
          {"unrunnable", unrunnable}};
}

ordered_json SegmentsJson(const std::vector<SegmentLocation>& segments) {
  ordered_json json = ordered_json::array();
  for (const SegmentLocation& segment : segments) {
    json.push_back({{"node", segment.node},
                    {"first_layer", segment.first_layer},
                    {"num_layers", segment.num_layers},
                    {"first_prefill_gpu", segment.first_prefill_gpu},
                    {"num_prefill_gpus", segment.num_prefill_gpus},
                    {"first_decode_gpu", segment.first_decode_gpu},
                    {"num_decode_gpus", segment.num_decode_gpus}});
  }
  return json;
}

ordered_json ReplicasJson(const PlacementRanking& ranking, double demand) {
  if (!ranking.HasWinner() || demand == 0) return nullptr;
  const RankedPlacement& winner = ranking.ranked.front();
  return NumReplicas(demand, winner.score.per_gpu, winner.placement.NumGpus());
}

}  // namespace

std::string PlanTable(const PlanReport& report) {
  const PlacementRanking& ranking = report.ranking;
  std::string table =
      absl::StrCat(report.title, "\n\n", RankingLines(ranking), "\n",
                   WinnerLines(ranking, report.rate_bounds), SegmentLines(report.segments));
  if (ranking.HasWinner() && report.demand > 0) {
    absl::StrAppendFormat(&table, "demand    %g requests/s: %s\n", report.demand,
                          ReplicaText(ranking.ranked.front(), report.demand));
  }
  return table + SearchLine(ranking.ranked.size() + ranking.unrunnable.size(),
                            ranking.unrunnable.size(), ranking.NumSimulations(), report);
}

ordered_json PlanJson(const PlanReport& report) {
  ordered_json json = RankingJson(report.ranking);
  json["title"] = report.title;
  json["segments"] = SegmentsJson(report.segments);
  json["replicas"] = ReplicasJson(report.ranking, report.demand);
  json["num_simulations"] = report.ranking.NumSimulations();
  json["num_threads"] = report.num_threads;
  json["elapsed_s"] = absl::ToDoubleSeconds(report.elapsed);
  return json;
}

std::string PhasePlanTable(const PhasePlan& plan, const PlanReport& report) {
  std::string table =
      absl::StrCat(report.title, "\n\nprefill alone\n", RankingLines(plan.prefill),
                   WinnerLines(plan.prefill, report.rate_bounds), "\ndecode alone\n",
                   RankingLines(plan.decode), WinnerLines(plan.decode, report.rate_bounds), "\n");
  if (plan.HasWinner()) {
    absl::StrAppendFormat(&table, "together  %.7g requests/s per GPU, replicated in proportion\n",
                          plan.GoodputPerGpu());
  }
  if (plan.HasWinner() && report.demand > 0) {
    absl::StrAppendFormat(&table, "demand    %g requests/s: prefill %s, decode %s\n", report.demand,
                          ReplicaText(plan.prefill.ranked.front(), report.demand),
                          ReplicaText(plan.decode.ranked.front(), report.demand));
  }
  const size_t num_unrunnable = plan.prefill.unrunnable.size() + plan.decode.unrunnable.size();
  return table + SearchLine(plan.prefill.ranked.size() + plan.decode.ranked.size() + num_unrunnable,
                            num_unrunnable,
                            plan.prefill.NumSimulations() + plan.decode.NumSimulations(), report);
}

ordered_json PhasePlanJson(const PhasePlan& plan, const PlanReport& report) {
  ordered_json prefill = RankingJson(plan.prefill), decode = RankingJson(plan.decode);
  prefill["replicas"] = ReplicasJson(plan.prefill, report.demand);
  decode["replicas"] = ReplicasJson(plan.decode, report.demand);
  return {{"title", report.title},
          {"goodput_per_gpu", plan.GoodputPerGpu()},
          {"prefill", prefill},
          {"decode", decode},
          {"num_simulations", plan.prefill.NumSimulations() + plan.decode.NumSimulations()},
          {"num_threads", report.num_threads},
          {"elapsed_s", absl::ToDoubleSeconds(report.elapsed)}};
}

}  // namespace tandem
