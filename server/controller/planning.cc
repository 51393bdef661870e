#include "server/controller/planning.h"

#include <sys/resource.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/core/log.h"
#include "engine/core/status_macros.h"
#include "server/controller/cluster_messages.h"
#include "server/controller/plan_messages.h"
#include "server/controller/what_if.h"

namespace tandem {
namespace {

constexpr size_t kMostQuestions = 8;   // that wait
constexpr size_t kMostDecisions = 20;  // that are shown
constexpr int kMostReplayed = 2000;    // requests of a what-if: seconds of simulation at most
// Several heartbeats: a worker tells its role with the next one.
constexpr absl::Duration kRoleTimeout = absl::Seconds(5);
constexpr int kNice = 10;  // routing and workers of this machine come first

// Exist from the start, so that a rate over them is right from the first event on.
constexpr const char* kActions[] = {"keep", "switch", "would_switch", "failed", "restore"};

PlanningOptions WithStop(PlanningOptions options, std::stop_token stop) {
  options.replan.search.replay.stop = std::move(stop);
  return options;
}

absl::Status EndingError() { return absl::UnavailableError("the scheduler is ending"); }

}  // namespace

const char* ReplanModeName(ReplanMode mode) {
  switch (mode) {
    case ReplanMode::kOff:
      return "off";
    case ReplanMode::kDryRun:
      return "dry-run";
    case ReplanMode::kOn:
      break;
  }
  return "on";
}

Planning::Planning(const PlanningOptions& options, Cluster* cluster, SetRole set_role)
    : options_(WithStop(options, stop_.get_token())),
      cluster_(cluster),
      set_role_(std::move(set_role)),
      replanner_(options_.replan),
      status_(options.mode == ReplanMode::kOff ? "is off" : replanner_.status()) {
  for (const char* action : kActions) num_by_action_[action] = 0;
}

void Planning::Start() {
  thread_ = std::thread([this] { Run(); });
}

void Planning::Stop() {
  std::deque<Question> unanswered;
  {
    absl::MutexLock lock(&mutex_);
    is_stopping_ = true;
    unanswered.swap(questions_);
  }
  stop_.request_stop();
  for (const Question& question : unanswered) question.on_answer(EndingError());
  if (thread_.joinable()) thread_.join();
}

void Planning::Run() {
  setpriority(PRIO_PROCESS, 0, kNice);  // of this thread alone, on Linux
  absl::Time next_look = absl::Now() + options_.interval;
  while (true) {
    std::optional<Question> question;
    {
      absl::MutexLock lock(&mutex_);
      const auto has_work = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
        return is_stopping_ || !questions_.empty();
      };
      mutex_.AwaitWithDeadline(absl::Condition(&has_work), next_look);
      if (is_stopping_) return;
      if (!questions_.empty()) {
        question = std::move(questions_.front());
        questions_.pop_front();
      }
    }
    if (question) Answer(*question);
    const absl::Time now = absl::Now();
    if (now < next_look) continue;
    Look(now);
    next_look = absl::Now() + options_.interval;
  }
}

void Planning::Arrive(const v1::RouteRequest& request,
                      const absl::StatusOr<v1::RouteResponse>& route, absl::Time now) {
  if (request.replay_of() != 0) return;
  TrafficRequest traffic = ToTraffic(request, route, now);
  absl::MutexLock lock(&mutex_);
  profile_.Arrive(std::move(traffic));
}

void Planning::End(const v1::CompleteRequest& request) {
  const TrafficOutcome outcome = ToOutcome(request.report());
  absl::MutexLock lock(&mutex_);
  profile_.End(RequestId(request.request_id()), outcome);
}

TrafficWindow Planning::Recent(const TrafficQuestion& question) const {
  absl::MutexLock lock(&mutex_);
  return profile_.Recent(question);
}

v1::Plan Planning::Show(absl::Time now) const {
  v1::Plan plan;
  plan.set_mode(ReplanModeName(options_.mode));
  *plan.mutable_placement() = ToProto(PlacementOf(cluster_->PlannedInstances()));
  *plan.mutable_traffic() =
      ToProto(Summarize(Recent({.length = options_.replan.window, .now = now})));
  absl::MutexLock lock(&mutex_);
  plan.set_status(status_);
  if (wanted_) *plan.mutable_wanted() = *wanted_;
  if (planned_for_) *plan.mutable_planned_for() = *planned_for_;
  *plan.mutable_decisions() = {decisions_.begin(), decisions_.end()};
  return plan;
}

v1::PlanCounters Planning::Counters() const {
  v1::PlanCounters counters;
  absl::MutexLock lock(&mutex_);
  for (const auto& [action, count] : num_by_action_) {
    v1::PlanCounters::Action& added = *counters.add_decisions();
    added.set_action(action);
    added.set_count(count);
  }
  if (wanted_) *counters.mutable_wanted() = *wanted_;
  return counters;
}

void Planning::WhatIf(v1::WhatIfRequest request, OnAnswer on_answer) {
  absl::Status status = CheckWhatIf(request);
  if (status.ok()) {
    absl::MutexLock lock(&mutex_);
    if (is_stopping_) {
      status = EndingError();
    } else if (questions_.size() >= kMostQuestions) {
      status = absl::ResourceExhaustedError(
          absl::StrCat(kMostQuestions, " simulations are waiting already"));
    } else {
      questions_.push_back({std::move(request), std::move(on_answer)});
      return;
    }
  }
  on_answer(status);
}

void Planning::Answer(const Question& question) {
  const TrafficWindow window = Recent({.length = absl::Minutes(question.request.minutes()),
                                       .now = absl::Now(),
                                       .max_requests = kMostReplayed});
  auto answer = AnswerWhatIf(question.request, window, cluster_->PlannedInstances(),
                             options_.replan.search.replay);
  if (absl::IsCancelled(answer.status())) answer = EndingError();
  question.on_answer(std::move(answer));
}

void Planning::Look(absl::Time now) {
  if (options_.mode == ReplanMode::kOff) return;
  if (options_.mode == ReplanMode::kOn) Restore();
  const auto decision = replanner_.Tick(Recent({.length = options_.replan.window, .now = now}),
                                        cluster_->PlannedInstances(), now);
  {
    absl::MutexLock lock(&mutex_);
    status_ = replanner_.status();
    if (replanner_.planned_for()) planned_for_ = ToProto(*replanner_.planned_for());
  }
  if (decision) Take(*decision);
}

void Planning::Take(const ReplanDecision& decision) {
  v1::PlanDecision message = ToProto(decision);
  std::string action = "keep";
  if (!decision.switches.empty()) {
    action = options_.mode == ReplanMode::kOn ? "switch" : "would_switch";
  }
  LOG(INFO) << "replan action=" << action << ": " << decision.ToString();
  if (action == "switch") {
    if (const absl::Status status = Apply(decision.switches); !status.ok()) {
      action = "failed";
      replanner_.TakeBack();
      LOG(WARNING) << "replan gives up: " << status.message();
      message.set_reason(absl::StrCat(decision.reason, ", but ", std::string(status.message())));
    }
  }
  message.set_action(action);
  Count(action);
  absl::MutexLock lock(&mutex_);
  wanted_ = message.wanted();
  decisions_.push_front(std::move(message));
  if (decisions_.size() > kMostDecisions) decisions_.pop_back();
}

void Planning::Count(const std::string& action) {
  absl::MutexLock lock(&mutex_);
  ++num_by_action_[action];
}

absl::Status Planning::Apply(const std::vector<RoleSwitch>& switches) {
  for (const RoleSwitch& change : switches) RETURN_IF_ERROR(ApplyOne(change));
  return absl::OkStatus();
}

absl::Status Planning::ApplyOne(const RoleSwitch& change) {
  std::vector<PlannedInstance> instances = cluster_->PlannedInstances();
  const auto found = std::find_if(instances.begin(), instances.end(), [&](const auto& instance) {
    return instance.view.id == change.id && instance.view.epoch == change.epoch;
  });
  if (found == instances.end()) {
    return absl::FailedPreconditionError(absl::StrCat(change.id.value(), " is not there any more"));
  }
  const std::string address = found->view.address;
  found->view.role = change.to;
  RETURN_IF_ERROR(Annotate(CheckServable(instances), absl::StrCat("with ", change.id.value(),
                                                                  " switched, nothing is served")));
  RETURN_IF_ERROR(Annotate(set_role_(address, change, stop_.get_token()),
                           absl::StrCat("cannot switch ", change.id.value())));
  if (!cluster_->AwaitRole(change, kRoleTimeout, stop_.get_token())) {
    if (stop_.stop_requested()) return EndingError();
    return absl::DeadlineExceededError(
        absl::StrCat(change.id.value(), " has not told of its new role"));
  }
  switched_[change.id] = change;
  return absl::OkStatus();
}

void Planning::Restore() {
  for (const PlannedInstance& instance : cluster_->PlannedInstances()) {
    const InstanceView& view = instance.view;
    const auto found = switched_.find(view.id);
    if (found == switched_.end() || found->second.epoch == view.epoch) continue;
    RoleSwitch change = found->second;
    change.epoch = view.epoch;
    change.from = view.role;
    if (change.from == change.to) {
      found->second = change;
      continue;
    }
    LOG(INFO) << "replan action=restore: instance=" << view.id.value()
              << " has started anew and is " << InstanceRoleName(change.to) << " again";
    if (const absl::Status status = ApplyOne(change); !status.ok()) {
      LOG(WARNING) << "replan cannot restore: " << status.message();
      continue;
    }
    Count("restore");
  }
}

}  // namespace tandem
