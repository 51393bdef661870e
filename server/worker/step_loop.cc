#include "server/worker/step_loop.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/core/log.h"

namespace tandem {

StepLoop::StepLoop(std::unique_ptr<InstanceScheduler> scheduler, ModelRunner* runner,
                   const Options& options)
    : options_(options), runner_(runner), scheduler_(std::move(scheduler)) {
  runner_->SetLayerDoneCallback([this](uint64_t step, int layer) { OnLayerDone(layer); });
  absl::MutexLock lock(&mutex_);
  stats_ = scheduler_->Stats();
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

StepLoopStats StepLoop::Stats(absl::Time now) const {
  absl::MutexLock lock(&mutex_);
  return {.scheduler = stats_,
          .step_seconds = step_seconds_,
          .healthy = idle_ || now - last_progress_ < options_.health_timeout};
}

void StepLoop::Run() {
  while (true) {
    {
      absl::MutexLock lock(&mutex_);
      if (stopping_) return;
    }
    RunInbox();
    const absl::Time now = absl::Now();
    const Batch batch = scheduler_->Schedule(now);
    Dispatch(scheduler_->TakeEvents(), now);
    if (batch.empty()) {
      PublishStats(absl::ZeroDuration(), /*idle=*/true, now);
      WaitForWork(scheduler_->NextTick());
    } else {
      RunStep(batch);
    }
  }
}

void StepLoop::RunInbox() {
  std::deque<Command> commands;
  {
    absl::MutexLock lock(&mutex_);
    commands.swap(inbox_);
  }
  Context context{.scheduler = *scheduler_, .now = absl::Now()};
  for (Command& command : commands) command(context);
  Dispatch(scheduler_->TakeEvents(), context.now);
}

void StepLoop::Accept(Submission& submission, absl::Time now) {
  const RequestId id = submission.request.id;
  const uint32_t attempt = submission.request.attempt;
  const absl::Status status = submission.expect
                                  ? scheduler_->Expect(std::move(submission.request), now)
                                  : scheduler_->Add(std::move(submission.request), now);
  // A later attempt ends the one before it, whose sink hears of that before it is replaced.
  Dispatch(scheduler_->TakeEvents(), now);
  if (status.ok()) {
    sinks_[id] = Entry{attempt, std::move(submission.sink)};
  } else {
    submission.sink->OnRefused(status);
  }
}

void StepLoop::RunStep(const Batch& batch) {
  storing_.clear();
  for (const BatchRow& row : batch.rows) {
    const auto it = sinks_.find(row.request);
    if (it != sinks_.end())
      storing_.emplace_back(it->second.sink.get(), row.begin + row.num_tokens);
  }
  {
    absl::MutexLock lock(&mutex_);
    if (idle_) last_progress_ = absl::Now();
    idle_ = false;
  }
  const absl::Time begin = absl::Now();
  const absl::StatusOr<StepOutput> output = runner_->Run(batch);
  const absl::Time end = absl::Now();
  if (!output.ok()) LOG(ERROR) << "step " << batch.step << " failed: " << output.status();
  Dispatch(output.ok() ? scheduler_->Commit(batch, *output, end)
                       : scheduler_->Fail(batch, output.status(), end),
           end);
  PublishStats(end - begin, /*idle=*/false, end);
}

void StepLoop::OnLayerDone(int layer) {
  for (const auto& [sink, num_tokens] : storing_) sink->OnLayerStored(layer, num_tokens);
}

void StepLoop::Dispatch(const std::vector<Event>& events, absl::Time now) {
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
      sink->OnEvents(absl::MakeSpan(events).subspan(begin, end - begin), now);
    }
    begin = end;
  }
}

void StepLoop::PublishStats(absl::Duration step, bool idle, absl::Time now) {
  const SchedulerStats stats = scheduler_->Stats();
  absl::MutexLock lock(&mutex_);
  stats_ = stats;
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
