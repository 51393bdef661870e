#include "scheduler/planner/replanner.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "engine/core/status_macros.h"

namespace tandem {
namespace {

constexpr size_t kMostCandidatesShown = 8;
// Of the latest requests; more would take longer and tell little more.
constexpr int kMostReplayed = 1000;

// Surely; so that an attainment about the goal does not ask for a decision again and again.
bool MeetsGoal(const ServiceLevel& level, const ReplanOptions& options) {
  return level.num_requests >= options.min_requests &&
         WilsonInterval(level.num_good, level.num_requests).low >= options.search.goal;
}

std::string ScoredText(const ScoredPlacement& scored) {
  return absl::StrCat(scored.placement.ToString(), " ", PercentText(scored.attainment));
}

std::string SwitchText(const RoleSwitch& change) {
  return absl::StrFormat("%s %s -> %s", change.id.value(), InstanceRoleName(change.from),
                         InstanceRoleName(change.to));
}

}  // namespace

std::string PercentText(double share) { return absl::StrFormat("%.1f%%", 100 * share); }

std::string ReplanDecision::ToString() const {
  std::vector<std::string> scores, changes;
  for (const ScoredPlacement& candidate : candidates) {
    if (scores.size() < kMostCandidatesShown) scores.push_back(ScoredText(candidate));
  }
  for (const RoleSwitch& change : switches) changes.push_back(SwitchText(change));
  return absl::StrCat(trigger, "; predicted within targets: ", absl::StrJoin(scores, ", "),
                      candidates.size() > scores.size() ? ", ..." : "", "; ", reason,
                      changes.empty() ? "" : absl::StrCat(": ", absl::StrJoin(changes, ", ")),
                      "; the demand needs ", wanted.ToString());
}

std::optional<ReplanDecision> Replanner::Tick(const TrafficWindow& window,
                                              std::vector<PlannedInstance> instances,
                                              absl::Time now) {
  const auto waits = [this](std::string status) {
    status_ = std::move(status);
    return std::nullopt;
  };
  if (!window.requests.empty()) begin_ = std::min(begin_, window.begin);
  const TrafficSummary summary = Summarize(window);
  if (summary.num_ended < options_.min_requests) {
    return waits(absl::StrCat("waits for requests: ", summary.num_ended, " of ",
                              options_.min_requests, " were served within the window"));
  }
  if (now < begin_ + options_.window) return waits("waits until it has seen a whole window");
  if (!HasSettled(window)) return waits("waits until the traffic keeps still");
  if (!planned_for_) {
    planned_for_ = summary;
    counts_from_ = now;
  }
  if (const absl::Duration left = last_decision_ + options_.cooldown - now;
      left > absl::ZeroDuration()) {
    return waits(absl::StrCat("pauses after the last decision for another ",
                              absl::FormatDuration(absl::Ceil(left, absl::Seconds(1)))));
  }
  if (std::exchange(learns_hits_, false)) planned_for_->uncached_share = summary.uncached_share;
  const ServiceLevel level = Measure(window.After(counts_from_), options_.search.replay);
  if (MeetsGoal(level, options_)) is_missing_ = false;
  const std::string trigger = FindTrigger(summary, level);
  if (trigger.empty()) return waits("watches: the traffic is what it was");
  if (!HasTargets(window, options_.search.replay)) {
    return waits(absl::StrCat(trigger, ", but no request has targets to plan for"));
  }
  if (absl::Status status = ShareLatencies(instances); !status.ok()) {
    return waits(absl::StrCat(trigger, ", but ", status.message()));
  }
  absl::StatusOr<ReplanDecision> decision = Decide(window.Latest(kMostReplayed), instances);
  if (!decision.ok()) return waits(absl::StrCat(trigger, ", but ", decision.status().message()));
  decision->time = now;
  decision->trigger = trigger;
  planned_for_before_ = std::exchange(planned_for_, summary);
  last_decision_ = counts_from_ = now;
  learns_hits_ = !decision->switches.empty();
  is_missing_ = is_missing_ || MissesGoal(level);
  status_ = "has just decided";
  return *std::move(decision);
}

void Replanner::TakeBack() {
  planned_for_ = planned_for_before_;
  learns_hits_ = is_missing_ = false;
}

bool Replanner::HasSettled(const TrafficWindow& window) const {
  const absl::Time middle = window.begin + window.Length() / 2;
  return FindShifts(Summarize(window.Before(middle)), Summarize(window.After(middle)),
                    options_.shift)
      .empty();
}

bool Replanner::MissesGoal(const ServiceLevel& level) const {
  return level.num_requests >= options_.min_requests &&
         WilsonInterval(level.num_good, level.num_requests).high < options_.search.goal;
}

std::string Replanner::FindTrigger(const TrafficSummary& summary, const ServiceLevel& level) const {
  std::vector<std::string> changes = FindShifts(*planned_for_, summary, options_.shift);
  if (!is_missing_ && MissesGoal(level)) {
    changes.push_back(absl::StrCat(PercentText(level.attainment),
                                   " of requests are within their targets, ",
                                   PercentText(options_.search.goal), " are wanted"));
  }
  return absl::StrJoin(changes, ", ");
}

absl::StatusOr<ReplanDecision> Replanner::Decide(
    const TrafficWindow& window, const std::vector<PlannedInstance>& instances) const {
  ReplanDecision decision;
  decision.present.placement = PlacementOf(instances);
  RETURN_IF_ERROR(Annotate(CheckServable(instances), "the cluster cannot serve"));
  ASSIGN_OR_RETURN(decision.candidates, ScorePlacements(instances, window, options_.search));
  const std::vector<ScoredPlacement>& candidates = decision.candidates;
  const auto is_present = [&](const ScoredPlacement& other) {
    return other.placement == decision.present.placement;
  };
  decision.present = *std::find_if(candidates.begin(), candidates.end(), is_present);
  ScoredPlacement chosen = decision.present;
  const double gain = candidates.front().attainment - decision.present.attainment;
  if (gain < options_.margin) {
    decision.reason = absl::StrFormat("no other gains %.3g points", 100 * options_.margin);
  } else {
    chosen = candidates.front();
    decision.switches = SwitchesTo(instances, AssignRoles(instances, chosen.placement));
    decision.reason = absl::StrFormat("%s gains %.1f points over %s", chosen.placement.ToString(),
                                      100 * gain, decision.present.placement.ToString());
  }
  decision.chosen = chosen;
  ASSIGN_OR_RETURN(decision.wanted, FindReplicas(instances, chosen, window, options_.search));
  return decision;
}

}  // namespace tandem
