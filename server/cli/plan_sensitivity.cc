#include "server/cli/plan_sensitivity.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "engine/core/status_macros.h"

namespace tandem {
namespace {

using nlohmann::ordered_json;

constexpr double kStep = 0.1;
constexpr size_t kMaxRivals = 3;
// The rate of a search is known to 5% by default, which would hide most of this.
constexpr double kTolerance = 0.01;

// A number, and how to multiply it.
struct Knob {
  std::string name;
  std::function<void(double factor, PlanScenario*)> turn;
};

Knob FactorKnob(const char* name, double PlanScenario::*factor) {
  return {name, [factor](double by, PlanScenario* scenario) { scenario->*factor = by; }};
}

using Coefficient = std::function<double*(LatencyCoefficients*)>;

// Those of the model that some instance has.
std::vector<Knob> LatencyKnobs(const std::vector<InstanceProfile>& profiles) {
  const std::pair<const char*, Coefficient> all[] = {
      {"prefill ms", [](LatencyCoefficients* c) { return &c->prefill.base_ms; }},
      {"prefill ms per token", [](LatencyCoefficients* c) { return &c->prefill.token_ms; }},
      {"prefill ms per square", [](LatencyCoefficients* c) { return &c->prefill.square_ms; }},
      {"decode ms", [](LatencyCoefficients* c) { return &c->decode.base_ms; }},
      {"decode ms per key", [](LatencyCoefficients* c) { return &c->decode.context_ms; }},
      {"decode ms per row", [](LatencyCoefficients* c) { return &c->decode.row_ms; }},
      {"large decode ms", [](LatencyCoefficients* c) { return &c->large_decode.base_ms; }},
      {"large decode ms per key",
       [](LatencyCoefficients* c) { return &c->large_decode.context_ms; }},
      {"large decode ms per row", [](LatencyCoefficients* c) { return &c->large_decode.row_ms; }}};
  std::vector<Knob> knobs;
  for (const auto& [name, coefficient] : all) {
    const bool is_used = std::any_of(
        profiles.begin(), profiles.end(),
        [&, &find = coefficient](InstanceProfile profile) { return *find(&profile.latency) > 0; });
    if (!is_used) continue;
    knobs.push_back({name, [find = coefficient](double by, PlanScenario* scenario) {
                       scenario->change_latency = [find, by](LatencyCoefficients* latency) {
                         *find(latency) *= by;
                       };
                     }});
  }
  return knobs;
}

std::vector<Knob> AllKnobs(const ClusterPlanner& planner) {
  std::vector<Knob> knobs = LatencyKnobs(planner.profiles());
  knobs.push_back(FactorKnob("KV capacity", &PlanScenario::kv_tokens));
  knobs.push_back(FactorKnob("link bandwidth", &PlanScenario::link_bandwidth));
  knobs.push_back(FactorKnob("prompt tokens", &PlanScenario::prompt_tokens));
  knobs.push_back(FactorKnob("output tokens", &PlanScenario::output_tokens));
  knobs.push_back(FactorKnob("targets", &PlanScenario::targets));
  return knobs;
}

// The winner of `base` in `ranking`.
const RankedCluster& Find(const ClusterRanking& ranking, const ClusterPlacement& placement) {
  return *std::find_if(ranking.ranked.begin(), ranking.ranked.end(),
                       [&](const RankedCluster& entry) { return entry.placement == placement; });
}

std::string ChangeText(const SensitivityCase& one) {
  return absl::StrFormat("%+.1f%%%s", 100 * one.change,
                         one.overtaken.empty() ? "" : absl::StrCat(" (then ", one.overtaken, ")"));
}

ordered_json CaseJson(const SensitivityCase& one) {
  ordered_json json = {{"change", one.change}, {"overtaken_by", nullptr}};
  if (!one.overtaken.empty()) json["overtaken_by"] = one.overtaken;
  return json;
}

}  // namespace

absl::StatusOr<Sensitivity> FindSensitivity(
    const ClusterPlanner& planner, const ClusterRanking& base,
    const std::function<void(int done, int all)>& progress) {
  Sensitivity sensitivity;
  sensitivity.tolerance = std::min(kTolerance, planner.config().tolerance());
  const ClusterPlacement winner = base.ranked.front().placement;
  std::vector<ClusterPlacement> placements;
  for (size_t i = 0; i < base.ranked.size() && i <= kMaxRivals; ++i) {
    placements.push_back(base.ranked[i].placement);
    if (i > 0) sensitivity.rivals.push_back(base.ranked[i].placement.ToString());
  }
  PlanScenario here;
  here.tolerance = sensitivity.tolerance;
  here.searches_all = true;
  ASSIGN_OR_RETURN(const ClusterRanking unchanged, planner.Rank(placements, here, {}));
  const double goodput = Find(unchanged, winner).PerDevice();

  const std::vector<Knob> knobs = AllKnobs(planner);
  for (const Knob& knob : knobs) {
    progress(static_cast<int>(sensitivity.rows.size()), static_cast<int>(knobs.size()));
    SensitivityRow row = {.name = knob.name};
    for (SensitivityCase* one : {&row.less, &row.more}) {
      PlanScenario scenario = here;
      knob.turn(one == &row.less ? 1 - kStep : 1 + kStep, &scenario);
      ASSIGN_OR_RETURN(const ClusterRanking ranking, planner.Rank(placements, scenario, {}));
      const RankedCluster& scored = Find(ranking, winner);
      const RankedCluster& best = ranking.ranked.front();
      one->change = scored.PerDevice() / goodput - 1;
      const bool is_overtaken = best.PerDevice() > scored.PerDevice() && !best.IsTiedWith(scored);
      if (is_overtaken) one->overtaken = best.placement.ToString();
    }
    sensitivity.rows.push_back(std::move(row));
  }
  return sensitivity;
}

std::vector<std::vector<std::string>> SensitivityCells(const Sensitivity& sensitivity) {
  std::vector<std::vector<std::string>> cells = {{"what", "10% less", "10% more"}};
  for (const SensitivityRow& row : sensitivity.rows) {
    cells.push_back({row.name, ChangeText(row.less), ChangeText(row.more)});
  }
  return cells;
}

std::string SensitivityTable(const Sensitivity& sensitivity) {
  std::string table = "\nthe winner's goodput where one number is\n";
  bool keeps_winning = true;
  for (const std::vector<std::string>& row : SensitivityCells(sensitivity)) {
    absl::StrAppendFormat(&table, "%-26s %-30s %s\n", row[0], row[1], row[2]);
  }
  for (const SensitivityRow& row : sensitivity.rows) {
    keeps_winning = keeps_winning && row.less.overtaken.empty() && row.more.overtaken.empty();
  }
  if (sensitivity.rivals.empty()) return table;
  absl::StrAppendFormat(
      &table, "beside %s: %s (rates are known to %g%%)\n", absl::StrJoin(sensitivity.rivals, ", "),
      keeps_winning ? "none of them is clearly better in any of these" : "it does not always win",
      100 * sensitivity.tolerance);
  return table;
}

ordered_json SensitivityJson(const Sensitivity& sensitivity) {
  ordered_json rows = ordered_json::array();
  for (const SensitivityRow& row : sensitivity.rows) {
    rows.push_back(
        {{"what", row.name}, {"less", CaseJson(row.less)}, {"more", CaseJson(row.more)}});
  }
  return {{"step", kStep},
          {"tolerance", sensitivity.tolerance},
          {"rivals", sensitivity.rivals},
          {"rows", rows}};
}

}  // namespace tandem
