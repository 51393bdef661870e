#include "server/cli/plan_crossover.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "engine/core/status_macros.h"
#include "server/cli/plan_phases.h"

namespace tandem {
namespace {

using nlohmann::ordered_json;

// Of the rates: what a plot shows.
constexpr double kPlotTolerance = 0.03;

// One quantity that is varied.
struct Axis {
  const char* name;
  const char* quantity;
  const char* unit;
  double PlanScenario::*factor;
  std::vector<double> factors;  // ascending, 1 among them
  double exponent = 0;          // of the rate over the quantity, as a first guess
};

const std::vector<Axis>& Axes() {
  static const auto* const kAxes = new std::vector<Axis>{
      {"prompt",
       "prompt length",
       "tokens",
       &PlanScenario::prompt_tokens,
       {0.125, 0.25, 0.5, 1, 2, 4},
       -1},
      {"link",
       "link bandwidth",
       "GB/s",
       &PlanScenario::link_bandwidth,
       {0.001, 0.01, 0.03, 0.1, 0.3, 1, 10}},
      {"slo", "targets", "times", &PlanScenario::targets, {0.5, 0.7, 1, 1.4, 2, 4}}};
  return *kAxes;
}

const Axis* FindAxis(absl::string_view name) {
  for (const Axis& axis : Axes()) {
    if (name == axis.name) return &axis;
  }
  return nullptr;
}

// What the quantity is as the options say.
double HereOf(const ClusterPlanner& planner, const Axis& axis) {
  if (axis.factor == &PlanScenario::prompt_tokens) return planner.MeanPromptTokens();
  if (axis.factor == &PlanScenario::link_bandwidth) {
    return planner.cluster().within_bytes_per_second / 1e9;
  }
  return 1;
}

bool FitsKv(const ClusterPlanner& planner, double prompt_factor) {
  int64_t most = 0;
  for (const InstanceProfile& profile : planner.profiles()) {
    most = std::max(most, planner.KvTokens(profile));
  }
  return planner.LongestRequest() * prompt_factor <= static_cast<double>(most);
}

bool IsTogether(const ClusterPlacement& placement) { return !placement.IsDisaggregated(); }

CrossoverSide SideOf(const RankedCluster* best) {
  if (best == nullptr) return {};
  return {best->placement.ToString(), best->PerDevice(),
          best->score.rate.half_width / best->placement.NumDevices()};
}

// Where one side cannot run, the other one's own.
MeanInterval DifferenceOf(const RankedCluster* apart, const RankedCluster* together) {
  if (apart != nullptr && together != nullptr) return apart->DifferenceTo(*together);
  if (apart != nullptr) return {apart->PerDevice(), 0};
  return {together == nullptr ? 0 : -together->PerDevice(), 0};
}

using RankingsByFactor = std::map<double, ClusterRanking>;

// What the placements may serve at `factor`, which is outside of all that are known: the last two
// rankings before it, carried on; of one, as the axis' exponent says.
std::vector<RankedCluster> CarryOn(const Axis& axis, const RankingsByFactor& known, double factor) {
  constexpr double kMostChange = 4;
  const bool is_above = factor > known.begin()->first;
  const auto last = is_above ? std::prev(known.end()) : known.begin();
  std::vector<RankedCluster> guesses = last->second.ranked;
  if (known.size() < 2) {
    for (RankedCluster& guess : guesses) {
      for (double& rate : guess.score.samples) rate *= std::pow(factor, axis.exponent);
    }
    return guesses;
  }
  const auto& [earlier_factor, earlier] = is_above ? *std::prev(last) : *std::next(last);
  const double share = std::log(factor / last->first) / std::log(last->first / earlier_factor);
  for (RankedCluster& guess : guesses) {
    const auto same = std::ranges::find(earlier.ranked, guess.placement, &RankedCluster::placement);
    if (same == earlier.ranked.end()) continue;
    std::vector<double>& rates = guess.score.samples;
    for (size_t i = 0; i < std::min(rates.size(), same->score.samples.size()); ++i) {
      const double earlier_rate = same->score.samples[i];
      if (rates[i] == 0 || earlier_rate == 0) continue;
      rates[i] *=
          std::clamp(std::pow(rates[i] / earlier_rate, share), 1 / kMostChange, kMostChange);
    }
  }
  return guesses;
}

// From what is known outwards: above it, then below it.
std::vector<double> InSearchOrder(const std::vector<double>& factors) {
  const auto here = std::ranges::find(factors, 1.0);
  std::vector<double> order(here + 1, factors.end());
  order.insert(order.end(), std::make_reverse_iterator(here), factors.rend());
  return order;
}

ordered_json SideJson(const CrossoverSide& side) {
  if (side.placement.empty()) return nullptr;
  return {{"placement", side.placement},
          {"per_device", side.per_device},
          {"half_width", side.half_width}};
}

const char* WinnerName(int winner) { return winner > 0 ? "apart" : "together"; }

// Where the difference of the two sides passes 0, on a logarithmic scale, between two points that
// have different winners.
double Crossing(const CrossoverPoint& low, const CrossoverPoint& high) {
  const double share = low.difference.mean / (low.difference.mean - high.difference.mean);
  return low.x * std::pow(high.x / low.x, share);
}

}  // namespace

int CrossoverPoint::Winner() const {
  if (difference.HasZero()) return 0;
  return difference.mean > 0 ? 1 : -1;
}

absl::StatusOr<std::vector<std::string>> ParseCrossovers(absl::string_view text) {
  std::vector<std::string> names;
  for (absl::string_view name : absl::StrSplit(text, ',', absl::SkipEmpty())) {
    if (FindAxis(name) == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(
          "option --crossover: expected a list of prompt, link and slo, got \"", text, "\""));
    }
    names.emplace_back(name);
  }
  return names;
}

absl::StatusOr<Crossover> FindCrossover(const ClusterPlanner& planner, const ClusterRanking& base,
                                        const std::string& name,
                                        const std::function<void(int done, int all)>& progress) {
  const Axis& axis = *FindAxis(name);
  Crossover crossover = {.name = name, .quantity = axis.quantity, .unit = axis.unit};
  crossover.here = HereOf(planner, axis);
  if (!std::isfinite(crossover.here)) {
    return absl::InvalidArgumentError("--crossover link: the links have no limit to begin with");
  }
  // No KV travels where prefill and decode are together.
  const bool is_link = axis.factor == &PlanScenario::link_bandwidth;
  RankingsByFactor rankings = {{1.0, base}};
  int num_done = 0;
  for (double factor : InSearchOrder(axis.factors)) {
    progress(++num_done, static_cast<int>(axis.factors.size()));
    if (axis.factor == &PlanScenario::prompt_tokens && !FitsKv(planner, factor)) continue;
    PlanScenario scenario;
    scenario.*axis.factor = factor;
    scenario.tolerance = std::min(kPlotTolerance, planner.config().tolerance());
    scenario.near = CarryOn(axis, rankings, factor);
    ASSIGN_OR_RETURN(PlanChoice choice, FindChoice(planner, scenario, {}));
    if (is_link) std::erase_if(choice.candidates, IsTogether);
    ASSIGN_OR_RETURN(rankings[factor], planner.Rank(choice.candidates, scenario, {}));
  }
  for (const auto& [factor, ranking] : rankings) {
    const RankedCluster* apart = ranking.Best(/*is_disaggregated=*/true);
    const RankedCluster* together = (is_link ? base : ranking).Best(/*is_disaggregated=*/false);
    crossover.points.push_back({.x = factor * crossover.here,
                                .apart = SideOf(apart),
                                .together = SideOf(together),
                                .difference = DifferenceOf(apart, together)});
  }
  return crossover;
}

std::string CrossoverSentence(const Crossover& crossover) {
  const auto amount = [&](double x) { return absl::StrFormat("%.3g %s", x, crossover.unit); };
  std::string text = crossover.quantity + ": ";
  const CrossoverPoint* last = nullptr;  // with a winner
  std::string parts;
  for (const CrossoverPoint& point : crossover.points) {
    if (point.Winner() == 0) continue;
    if (last != nullptr && last->Winner() != point.Winner()) {
      absl::StrAppend(&parts, WinnerName(last->Winner()), parts.empty() ? " serves more" : "",
                      " up to about ", amount(Crossing(*last, point)), ", ");
    }
    last = &point;
  }
  if (last == nullptr) return text + "no clear difference at any of these points";
  if (!parts.empty()) {
    const bool is_last = last == &crossover.points.back();
    return absl::StrCat(text, parts, WinnerName(last->Winner()),
                        is_last ? " above" : absl::StrCat(" up to ", amount(last->x)),
                        is_last ? "" : ", no clear difference above");
  }
  const auto first = std::find_if(crossover.points.begin(), crossover.points.end(),
                                  [](const CrossoverPoint& point) { return point.Winner() != 0; });
  const bool is_all = std::all_of(crossover.points.begin(), crossover.points.end(),
                                  [](const CrossoverPoint& point) { return point.Winner() != 0; });
  return absl::StrCat(text, WinnerName(last->Winner()), " serves more from ", amount(first->x),
                      " to ", amount(last->x),
                      is_all ? "" : ", at the other points there is no clear difference");
}

std::string CrossoverTable(const Crossover& crossover) {
  std::string table = absl::StrFormat("\n%-22s %9s  %-32s %9s  %s\n",
                                      absl::StrCat(crossover.quantity, ", ", crossover.unit),
                                      "apart", "placement", "together", "placement");
  for (const CrossoverPoint& point : crossover.points) {
    const int winner = point.Winner();
    absl::StrAppendFormat(
        &table, "%-22s %9.3f%c %-32s %9.3f%c %s\n",
        absl::StrFormat("%.4g%s", point.x, point.x == crossover.here ? " (here)" : ""),
        point.apart.per_device, winner > 0 ? '*' : ' ', point.apart.placement,
        point.together.per_device, winner < 0 ? '*' : ' ', point.together.placement);
  }
  return absl::StrCat(table, CrossoverSentence(crossover), "\n");
}

ordered_json CrossoverJson(const Crossover& crossover) {
  ordered_json points = ordered_json::array();
  for (const CrossoverPoint& point : crossover.points) {
    const int winner = point.Winner();
    points.push_back({{"x", point.x},
                      {"apart", SideJson(point.apart)},
                      {"together", SideJson(point.together)},
                      {"difference", point.difference.mean},
                      {"difference_half_width", point.difference.half_width},
                      {"winner", nullptr}});
    if (winner != 0) points.back()["winner"] = WinnerName(winner);
  }
  return {{"name", crossover.name},
          {"unit", crossover.unit},
          {"here", crossover.here},
          {"points", points},
          {"summary", CrossoverSentence(crossover)}};
}

Plot CrossoverPlot(const Crossover& crossover) {
  Plot plot = {.title = absl::StrCat("Goodput over ", crossover.quantity),
               .x_label = absl::StrCat(crossover.quantity, ", ", crossover.unit),
               .y_label = "requests per second and device",
               .is_log_x = true};
  PlotCurve apart = {.name = "prefill and decode apart", .has_dots = true};
  PlotCurve together = {.name = "together", .has_dots = true};
  const auto add = [](double x, const CrossoverSide& side, PlotCurve* curve) {
    curve->points.emplace_back(x, side.per_device);
    curve->intervals.emplace_back(side.per_device - side.half_width,
                                  side.per_device + side.half_width);
  };
  for (const CrossoverPoint& point : crossover.points) {
    add(point.x, point.apart, &apart);
    add(point.x, point.together, &together);
  }
  plot.curves = {std::move(apart), std::move(together)};
  plot.marks.push_back({.is_vertical = true, .at = crossover.here, .name = "here"});
  return plot;
}

}  // namespace tandem
