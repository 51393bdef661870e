// Planning in the scheduler process: remembers the traffic, decides which roles workers should
// have, changes them, and answers what-if questions.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "proto/scheduler.pb.h"
#include "scheduler/planner/replanner.h"
#include "server/controller/cluster.h"

namespace tandem {

// kDryRun: decides, and only logs it.
enum class ReplanMode { kOff, kDryRun, kOn };

struct PlanningOptions {
  ReplanMode mode = ReplanMode::kOff;
  absl::Duration interval = absl::Seconds(10);  // between looks at the traffic
  ReplanOptions replan;
};

// Thread-safe. Simulations run on a thread of its own, of low priority, and hold no lock; all other
// calls are short.
class Planning {
 public:
  // Asks the worker at `address` for another role, and waits for its answer, or until `stop`.
  using SetRole = std::function<absl::Status(const std::string& address, const RoleSwitch& change,
                                             std::stop_token stop)>;
  using OnAnswer = std::function<void(absl::StatusOr<v1::WhatIfResponse>)>;

  // `cluster` outlives it.
  Planning(const PlanningOptions& options, Cluster* cluster, SetRole set_role);
  ~Planning() { Stop(); }

  void Start();
  // Ends a simulation or a change of roles that is under way. The simulation's question and those
  // that wait are answered with UNAVAILABLE, as are later ones. Idempotent.
  void Stop();

  // A request was routed or refused; those that are tried again are counted once.
  void Arrive(const v1::RouteRequest& request, const absl::StatusOr<v1::RouteResponse>& route,
              absl::Time now);
  void End(const v1::CompleteRequest& request);

  v1::Plan Show(absl::Time now) const;
  v1::PlanCounters Counters() const;

  // `on_answer` runs once, here or on the thread. Errors as CheckWhatIf and AnswerWhatIf;
  // RESOURCE_EXHAUSTED: too many wait.
  void WhatIf(v1::WhatIfRequest request, OnAnswer on_answer);

  // What the thread does at each interval: one look at the traffic, and what follows from it. By
  // one caller at a time.
  void Look(absl::Time now);

 private:
  struct Question {
    v1::WhatIfRequest request;
    OnAnswer on_answer;
  };

  void Run();
  void Answer(const Question& question);
  TrafficWindow Recent(const TrafficQuestion& question) const;
  void Take(const ReplanDecision& decision);
  // One after another, as long as the cluster can serve. Errors say what stood in the way.
  absl::Status Apply(const std::vector<RoleSwitch>& switches);
  absl::Status ApplyOne(const RoleSwitch& change);
  // A worker that has started anew has the role of its command line.
  void Restore();
  void Count(const std::string& action);

  // Fixed after construction.
  std::stop_source stop_;  // of simulations and changes of roles; thread-safe
  const PlanningOptions options_;
  Cluster* const cluster_;
  const SetRole set_role_;

  // Look only.
  Replanner replanner_;
  std::map<InstanceId, RoleSwitch> switched_;  // the last switch of each worker

  mutable absl::Mutex mutex_;
  TrafficProfile profile_ ABSL_GUARDED_BY(mutex_);
  std::deque<Question> questions_ ABSL_GUARDED_BY(mutex_);
  std::deque<v1::PlanDecision> decisions_ ABSL_GUARDED_BY(mutex_);  // latest first
  std::map<std::string, int64_t> num_by_action_ ABSL_GUARDED_BY(mutex_);
  std::optional<v1::RoleCounts> wanted_ ABSL_GUARDED_BY(mutex_);
  std::optional<v1::TrafficReport> planned_for_ ABSL_GUARDED_BY(mutex_);
  std::string status_ ABSL_GUARDED_BY(mutex_);
  bool is_stopping_ ABSL_GUARDED_BY(mutex_) = false;

  std::thread thread_;
};

// "off", "dry-run", "on".
const char* ReplanModeName(ReplanMode mode);

}  // namespace tandem
