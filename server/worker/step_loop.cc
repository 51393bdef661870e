#include "server/worker/step_loop.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/core/log.h"

namespace tandem {
namespace {

// Keys that are told at once: 32 KiB in a heartbeat.
constexpr int kMaxPrefixChanges = 4096;

}  // namespace

StepLoop::StepLoop(std::unique_ptr<InstanceScheduler> scheduler, ModelRunner* runner,
                   const Options& options)
    : options_(options),
      runner_(runner),
      scheduler_(std::move(scheduler), options.event_log),
      latency_({.large_decode_rows = options.many_tokens}) {
  runner_->SetLayerDoneCallback([this](uint64_t step, int layer) { OnLayerDone(step, layer); });
  absl::MutexLock lock(&mutex_);
  stats_ = scheduler_.Stats();
}

StepLoop::~StepLoop() { Stop(); }

void StepLoop::Start() {
  thread_ = std::thread([this] { Run(); });
}

void StepLoop::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  if (thread_.joinable()) thread_.join();
  std::deque<Command> commands;  // outlives the lock
  {
    absl::MutexLock lock(&mutex_);
    commands.swap(inbox_);
  }
  steps_.clear();
  sinks_.clear();
}

absl::Status StepLoop::Submit(Submission submission) {
  auto shared = std::make_shared<Submission>(std::move(submission));
  absl::MutexLock lock(&mutex_);
  if (stopping_) return absl::UnavailableError("the worker is shutting down");
  if (static_cast<int>(inbox_.size()) >= options_.max_inbox) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the worker's inbox is full (", options_.max_inbox, " messages)"));
  }
  inbox_.push_back([this, shared](Context& context) { Accept(*shared, context.now); });
  return absl::OkStatus();
}

void StepLoop::Post(Command command) {
  absl::MutexLock lock(&mutex_);
  if (!stopping_) inbox_.push_back(std::move(command));
}

void StepLoop::HandOver(absl::Time end) {
  Post([this, end](Context& context) { TellLeaving(end - context.now); });
}

void StepLoop::TellLeaving(absl::Duration time_left) {
  for (const UnfinishedRequest& request : scheduler_.Unfinished()) {
    const auto it = sinks_.find(request.id);
    if (it == sinks_.end() || it->second.attempt != request.attempt || it->second.is_leaving ||
        pace_.TimeToFinish(request, runner_->max_num_batched_tokens()) <= time_left) {
      continue;
    }
    it->second.is_leaving = true;
    it->second.sink->OnLeave();
  }
}

StepLoopStats StepLoop::Stats(absl::Time now) const {
  absl::MutexLock lock(&mutex_);
  return {.scheduler = stats_,
          .step_seconds = step_seconds_,
          .idle = idle_ && inbox_.empty(),
          .healthy = idle_ || now - last_progress_ < options_.health_timeout,
          .latency = step_latency_};
}

PrefixChanges StepLoop::TakePrefixChanges() {
  PrefixChanges changes;
  {
    absl::MutexLock lock(&mutex_);
    changes = std::exchange(prefix_changes_, {});
  }
  // There may be more, and a loop without work would not look for it.
  if (!changes.empty()) Post([](Context&) {});
  return changes;
}

void StepLoop::RestartPrefixChanges() {
  {
    absl::MutexLock lock(&mutex_);
    prefix_changes_ = {};
  }
  Post([](Context& context) { context.scheduler.RestartPrefixChanges(); });
}

void StepLoop::Run() {
  while (true) {
    {
      absl::MutexLock lock(&mutex_);
      if (stopping_) return;
    }
    RunInbox();
    const absl::Time now = absl::Now();
    const Batch batch = scheduler_.Schedule(now);
    runner_->Copy(batch.copies);  // before events let others write to blocks that are free now
    Dispatch(scheduler_.TakeEvents(), {now});
    if (!batch.empty() && !BeginStep(batch)) return;
    if (steps_.empty()) {
      PublishStats(absl::ZeroDuration(), /*idle=*/true, now);
      free_since_.reset();
      WaitForWork(scheduler_.NextTick());
    } else if (batch.empty() || runner_->num_in_flight() == runner_->depth()) {
      if (!FinishStep()) return;
    }
  }
}

void StepLoop::RunInbox() {
  std::deque<Command> commands;
  {
    absl::MutexLock lock(&mutex_);
    commands.swap(inbox_);
    if (idle_ && !commands.empty()) {
      idle_ = false;
      last_progress_ = absl::Now();
    }
  }
  Context context{.scheduler = scheduler_, .now = absl::Now()};
  for (Command& command : commands) command(context);
  Dispatch(scheduler_.TakeEvents(), {context.now});
}

void StepLoop::Accept(Submission& submission, absl::Time now) {
  const RequestId id = submission.request.id;
  const uint32_t attempt = submission.request.attempt;
  const absl::Status status = submission.expect
                                  ? scheduler_.Expect(std::move(submission.request), now)
                                  : scheduler_.Add(std::move(submission.request), now);
  // A later attempt ends the one before it, whose sink hears of that before it is replaced.
  Dispatch(scheduler_.TakeEvents(), {now});
  if (status.ok()) {
    sinks_[id] = Entry{.attempt = attempt, .sink = std::move(submission.sink)};
  } else {
    submission.sink->OnRefused(status);
  }
}

bool StepLoop::BeginStep(const Batch& batch) {
  StepInFlight& step = steps_.emplace_back();
  step.batch = batch;
  step.shape = ShapeOf(batch);
  step.begin = absl::Now();
  step.since = free_since_.value_or(step.begin);
  free_since_.reset();
  for (const BatchRow& row : batch.rows) {
    const auto it = sinks_.find(row.request);
    if (it != sinks_.end()) step.storing.emplace_back(it->second.sink, row.begin + row.num_tokens);
  }
  {
    absl::MutexLock lock(&mutex_);
    if (idle_) last_progress_ = step.begin;
    idle_ = false;
  }
  const absl::Status status = runner_->Submit(batch);
  if (status.ok()) return true;
  steps_.pop_back();
  FailStep(batch, status);
  return !absl::IsUnavailable(status);
}

bool StepLoop::FinishStep() {
  const absl::StatusOr<StepOutput> output = runner_->Wait();
  const absl::Time end = absl::Now();
  const StepInFlight step = std::move(steps_.front());
  steps_.pop_front();
  if (output.ok()) {
    Dispatch(scheduler_.Commit(step.batch, *output, end), {end, step.begin});
  } else {
    FailStep(step.batch, output.status());
  }
  pace_.Observe(end - step.begin);
  // What a step costs whoever waits for its tokens: sending those of the step before, and making
  // the batch, included.
  if (output.ok()) latency_.Observe(step.shape, end - step.since);
  free_since_ = end;
  // Steps overlap; their time is counted once.
  PublishStats(end - std::max(step.begin, last_end_), /*idle=*/false, end);
  last_end_ = end;
  return !absl::IsUnavailable(output.status());
}

void StepLoop::FailStep(const Batch& batch, const absl::Status& status) {
  LOG(ERROR) << "step " << batch.step << " failed: " << status;
  if (absl::IsUnavailable(status)) return;  // the process ends, and its requests go elsewhere
  const absl::Time now = absl::Now();
  Dispatch(scheduler_.Fail(batch, status, now), {now});
}

void StepLoop::OnLayerDone(uint64_t step, int layer) {
  for (const StepInFlight& under_way : steps_) {
    if (under_way.batch.step != step) continue;
    for (const auto& [sink, num_tokens] : under_way.storing) sink->OnLayerStored(layer, num_tokens);
  }
}

void StepLoop::Dispatch(const std::vector<Event>& events, const EventTime& time) {
  for (size_t begin = 0; begin < events.size();) {
    size_t end = begin + 1;
    while (end < events.size() && events[end].id == events[begin].id &&
           events[end].attempt == events[begin].attempt) {
      ++end;
    }
    const auto it = sinks_.find(events[begin].id);
    if (it != sinks_.end() && it->second.attempt == events[begin].attempt) {
      const std::shared_ptr<RequestSink> sink = it->second.sink;
      if (IsTerminal(events[end - 1].kind)) sinks_.erase(it);
      sink->OnEvents(absl::MakeSpan(events).subspan(begin, end - begin), time);
    }
    begin = end;
  }
}

void StepLoop::PublishStats(absl::Duration step, bool idle, absl::Time now) {
  const SchedulerStats stats = scheduler_.Stats();
  absl::MutexLock lock(&mutex_);
  stats_ = stats;
  step_latency_ = {.knows_prefill = latency_.IsPrefillCalibrated(),
                   .knows_decode = latency_.IsDecodeCalibrated(),
                   .coefficients = latency_.model().coefficients(),
                   .steps = latency_.counts(),
                   .mean_error = latency_.relative_error()};
  if (prefix_changes_.empty()) prefix_changes_ = scheduler_.TakePrefixChanges(kMaxPrefixChanges);
  step_seconds_ += absl::ToDoubleSeconds(step);
  idle_ = idle;
  last_progress_ = now;
}

void StepLoop::WaitForWork(absl::Time until) {
  absl::MutexLock lock(&mutex_);
  mutex_.AwaitWithDeadline(absl::Condition(
                               +[](StepLoop* self) ABSL_EXCLUSIVE_LOCKS_REQUIRED(self->mutex_) {
                                 return self->stopping_ || !self->inbox_.empty();
                               },
                               this),
                           until);
}

}  // namespace tandem
