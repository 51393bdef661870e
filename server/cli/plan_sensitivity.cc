#include "server/cli/plan_sensitivity.h"

#include <algorithm>
#include <cmath>
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
constexpr double kClose = 0.95;
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

// `base` where the rates of each seed are `factors` times its own.
RankedCluster Scaled(RankedCluster base, const std::vector<double>& factors) {
  for (size_t i = 0; i < std::min(factors.size(), base.score.samples.size()); ++i) {
    base.score.samples[i] *= factors[i];
  }
  return base;
}

// Searches for what the winner serves where one number is another, and for rivals that then serve
// more.
class Prober {
 public:
  Prober(const ClusterPlanner& planner, const RankedCluster& winner,
         std::vector<ClusterPlacement> rivals, double tolerance)
      : planner_(planner),
        guess_(winner),
        winner_(winner),
        rivals_(std::move(rivals)),
        tolerance_(tolerance) {}

  // The winner where nothing is changed, to the tolerance.
  absl::Status Measure() {
    ASSIGN_OR_RETURN(guess_, Winner({}, guess_));
    ASSIGN_OR_RETURN(winner_, Winner({}, guess_));
    return absl::OkStatus();
  }

  absl::Status Probe(const Knob& knob, SensitivityRow* row) const {
    PlanScenario less, more;
    knob.turn(1 - kStep, &less);
    knob.turn(1 + kStep, &more);
    ASSIGN_OR_RETURN(const RankedCluster with_less, Winner(less, guess_));
    // What one does is about the reverse of what the other does.
    std::vector<double> factors;
    for (size_t i = 0; i < with_less.score.samples.size() && i < winner_.score.samples.size();
         ++i) {
      const double rate = with_less.score.samples[i];
      factors.push_back(rate > 0 ? winner_.score.samples[i] / rate : 1);
    }
    ASSIGN_OR_RETURN(const RankedCluster with_more, Winner(more, Scaled(guess_, factors)));
    ASSIGN_OR_RETURN(row->less, Compare(less, with_less));
    ASSIGN_OR_RETURN(row->more, Compare(more, with_more));
    return absl::OkStatus();
  }

 private:
  absl::StatusOr<RankedCluster> Winner(PlanScenario scenario, const RankedCluster& near) const {
    scenario.tolerance = tolerance_;
    scenario.near = {near};
    ASSIGN_OR_RETURN(const ClusterRanking ranking,
                     planner_.Rank({winner_.placement}, scenario, {}));
    return ranking.ranked.front();
  }

  // What serves clearly less with the first seed is not clearly better with all, and left at that.
  absl::StatusOr<SensitivityCase> Compare(PlanScenario scenario,
                                          const RankedCluster& winner) const {
    SensitivityCase one = {.change = winner.PerDevice() / winner_.PerDevice() - 1};
    scenario.tolerance = tolerance_;
    scenario.least = kClose * winner.score.samples.front() / winner.placement.NumDevices();
    ASSIGN_OR_RETURN(const ClusterRanking ranking, planner_.Rank(rivals_, scenario, {}));
    if (!ranking.HasWinner()) return one;
    const RankedCluster& best = ranking.ranked.front();
    const bool is_overtaken = best.PerDevice() > winner.PerDevice() && !best.IsTiedWith(winner);
    if (is_overtaken) one.overtaken = best.placement.ToString();
    return one;
  }

  const ClusterPlanner& planner_;
  // Where all searches begin, so that what changes nothing is found to change nothing.
  RankedCluster guess_;
  RankedCluster winner_;
  const std::vector<ClusterPlacement> rivals_;
  const double tolerance_;
};

std::string ChangeText(const SensitivityCase& one) {
  constexpr double kLeast = 0.0005;  // not "-0.0%"
  const double change = std::abs(one.change) < kLeast ? 0 : one.change;
  return absl::StrFormat("%+.1f%%%s", 100 * change,
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
  std::vector<ClusterPlacement> rivals;
  for (size_t i = 1; i < base.ranked.size() && i <= kMaxRivals; ++i) {
    rivals.push_back(base.ranked[i].placement);
    sensitivity.rivals.push_back(rivals.back().ToString());
  }
  Prober prober(planner, base.ranked.front(), std::move(rivals), sensitivity.tolerance);
  RETURN_IF_ERROR(prober.Measure());
  const std::vector<Knob> knobs = AllKnobs(planner);
  for (const Knob& knob : knobs) {
    progress(static_cast<int>(sensitivity.rows.size()), static_cast<int>(knobs.size()));
    SensitivityRow row = {.name = knob.name};
    RETURN_IF_ERROR(prober.Probe(knob, &row));
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
