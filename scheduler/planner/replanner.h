// When the cluster's placement should change, and to what: watches the traffic for a shift, then
// simulates the other placements that its instances can have.
//
//   if (auto decision = replanner.Tick(profile.Recent(...), instances, now)) Apply(*decision);
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "scheduler/planner/placement_search.h"
#include "scheduler/planner/planned_instance.h"
#include "scheduler/planner/traffic_profile.h"
#include "scheduler/planner/traffic_shift.h"

namespace tandem {

struct ReplanOptions {
  absl::Duration window = absl::Minutes(5);    // of traffic that is looked at
  absl::Duration cooldown = absl::Minutes(5);  // after a decision, before the next one
  int min_requests = 50;                       // in the window, to tell anything by
  ShiftOptions shift;
  double margin = 0.05;  // that attainment must gain by a change of roles
  PlacementSearchOptions search;
};

struct ReplanDecision {
  absl::Time time;
  std::string trigger;                      // what has changed
  std::string reason;                       // why this was decided
  ScoredPlacement present;                  // before it
  std::vector<ScoredPlacement> candidates;  // best first, the present one among them
  ScoredPlacement chosen;
  std::vector<RoleSwitch> switches;  // in this order; empty: all stay as they are
  ClusterPlacement wanted;           // as many instances of each role as the demand needs

  // One line with all of it.
  std::string ToString() const;
};

// Passive; one owner. It decides once for each shift, be it to change nothing: what the traffic is
// then is what it compares with from there on. So that noise, the beginning of a service and its
// own doing are no shifts,
// - the first full window only says what is usual,
// - a shift counts once the two halves of the window agree, so that it is over,
// - after a decision nothing is decided for the cool-down,
// - after switches, whose workers have other prefixes cached, hits are learnt anew,
// - targets that are missed are decided upon once, until they have been met again.
class Replanner {
 public:
  explicit Replanner(const ReplanOptions& options) : options_(options) {}

  // `window` is that of the options, ending now; `instances` those that can be planned with. May
  // simulate for seconds. Nothing: there is nothing to decide, and status() says why.
  std::optional<ReplanDecision> Tick(const TrafficWindow& window,
                                     std::vector<PlannedInstance> instances, absl::Time now);

  // The last decision could not be carried out: what led to it still stands after the cool-down.
  void TakeBack();

  // What it waits for.
  const std::string& status() const { return status_; }

  // The traffic that the present placement was decided for. Nothing: none was seen yet.
  const std::optional<TrafficSummary>& planned_for() const { return planned_for_; }

 private:
  // What has changed since the last decision; empty: nothing.
  std::string FindTrigger(const TrafficSummary& summary, const ServiceLevel& level) const;
  // Surely fewer requests than wanted are within their targets.
  bool MissesGoal(const ServiceLevel& level) const;
  bool HasSettled(const TrafficWindow& window) const;
  absl::StatusOr<ReplanDecision> Decide(const TrafficWindow& window,
                                        const std::vector<PlannedInstance>& instances) const;

  const ReplanOptions options_;
  std::string status_ = "waits for traffic";
  std::optional<TrafficSummary> planned_for_, planned_for_before_;  // the last decision
  absl::Time begin_ = absl::InfiniteFuture();                       // of the traffic
  absl::Time last_decision_ = absl::InfinitePast();
  absl::Time counts_from_ = absl::InfiniteFuture();  // latencies of requests that arrive later do
  bool learns_hits_ = false;
  bool is_missing_ = false;  // the goal, which was decided upon
};

// "93.1%".
std::string PercentText(double share);

}  // namespace tandem
