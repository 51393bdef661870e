#include "scheduler/replay/logged_scheduler.h"

#include <utility>

namespace tandem {

LoggedScheduler::LoggedScheduler(std::unique_ptr<InstanceScheduler> scheduler, LineSink sink)
    : scheduler_(std::move(scheduler)), line_(std::move(sink)) {
  if (line_.is_on()) line_.WriteHeader("instance", scheduler_->options());
}

void LoggedScheduler::LogCall(const char* call, absl::Time now) {
  if (!line_.is_on()) return;
  line_.Begin(call);
  line_.Add("now", now);
  line_.End();
}

void LoggedScheduler::LogCall(const char* call, RequestId id, uint32_t attempt, absl::Time now) {
  if (!line_.is_on()) return;
  line_.Begin(call);
  line_.Add("now", now);
  line_.Add("id", id);
  line_.Add("attempt", attempt);
  line_.End();
}

void LoggedScheduler::AddEvents(const std::vector<Event>& events) {
  AppendEvents(events, line_.Open("events"));
  for (const Event& event : events) {
    if (IsTerminal(event.kind)) tables_.erase(event.id);
  }
}

absl::Status LoggedScheduler::Add(Request request, absl::Time now) {
  return Enter("add", &InstanceScheduler::Add, std::move(request), now);
}

absl::Status LoggedScheduler::Expect(Request request, absl::Time now) {
  return Enter("expect", &InstanceScheduler::Expect, std::move(request), now);
}

absl::Status LoggedScheduler::Enter(const char* call, EnterCall enter, Request request,
                                    absl::Time now) {
  if (!line_.is_on()) return (*scheduler_.*enter)(std::move(request), now);
  line_.Begin(call);
  line_.Add("now", now);
  line_.Add("request", request);
  absl::Status status = (*scheduler_.*enter)(std::move(request), now);
  line_.AddRefusal(status);
  line_.End();
  return status;
}

void LoggedScheduler::Begun(RequestId id, uint32_t attempt, absl::Time now) {
  LogCall("begun", id, attempt, now);
  scheduler_->Begun(id, attempt, now);
}

void LoggedScheduler::Offer(const KvHandoff& handoff, absl::Time now) {
  if (line_.is_on()) {
    line_.Begin("offer");
    line_.Add("now", now);
    line_.Add("id", handoff.id);
    line_.Add("attempt", handoff.attempt);
    line_.Add("first_token", handoff.first_token);
    line_.End();
  }
  scheduler_->Offer(handoff, now);
}

void LoggedScheduler::Recompute(RequestId id, uint32_t attempt, absl::Time now) {
  LogCall("recompute", id, attempt, now);
  scheduler_->Recompute(id, attempt, now);
}

void LoggedScheduler::Fence(RequestId id, uint32_t attempt, absl::Time now) {
  LogCall("fence", id, attempt, now);
  scheduler_->Fence(id, attempt, now);
}

void LoggedScheduler::SetLease(RequestId id, uint32_t attempt, absl::Time end) {
  if (line_.is_on()) {
    line_.Begin("set_lease");
    line_.Add("id", id);
    line_.Add("attempt", attempt);
    line_.Add("end", end);
    line_.End();
  }
  scheduler_->SetLease(id, attempt, end);
}

void LoggedScheduler::Release(RequestId id, uint32_t attempt, absl::Time now) {
  LogCall("release", id, attempt, now);
  scheduler_->Release(id, attempt, now);
}

void LoggedScheduler::Abort(RequestId id, uint32_t attempt, absl::Time now) {
  LogCall("abort", id, attempt, now);
  scheduler_->Abort(id, attempt, now);
}

Batch LoggedScheduler::Schedule(absl::Time now) {
  Batch batch = scheduler_->Schedule(now);
  if (!line_.is_on()) return batch;
  line_.Begin("schedule");
  line_.Add("now", now);
  if (!batch.empty()) {
    line_.Add("step", batch.step);
    AppendRows(batch.rows, &tables_, line_.Open("rows"));
  }
  if (!batch.copies.empty()) AppendCopies(batch.copies, line_.Open("copies"));
  line_.End();
  return batch;
}

std::vector<Event> LoggedScheduler::Commit(const Batch& batch, const StepOutput& output,
                                           absl::Time now) {
  if (!line_.is_on()) return scheduler_->Commit(batch, output, now);
  line_.Begin("commit");
  line_.Add("now", now);
  line_.Add("step", batch.step);
  AppendOutput(batch, output, line_.Open("output"));
  std::vector<Event> events = scheduler_->Commit(batch, output, now);
  AddEvents(events);
  line_.End();
  return events;
}

std::vector<Event> LoggedScheduler::Fail(const Batch& batch, const absl::Status& status,
                                         absl::Time now) {
  std::vector<Event> events = scheduler_->Fail(batch, status, now);
  if (!line_.is_on()) return events;
  line_.Begin("fail");
  line_.Add("now", now);
  line_.Add("step", batch.step);
  line_.Add("status", status);
  AddEvents(events);
  line_.End();
  return events;
}

void LoggedScheduler::Tick(absl::Time now) {
  LogCall("tick", now);
  scheduler_->Tick(now);
}

std::vector<Event> LoggedScheduler::TakeEvents() {
  std::vector<Event> events = scheduler_->TakeEvents();
  if (!line_.is_on() || events.empty()) return events;
  line_.Begin("take_events");
  AddEvents(events);
  line_.End();
  return events;
}

void LoggedScheduler::RestartPrefixChanges() {
  if (line_.is_on()) {
    line_.Begin("restart_prefixes");
    line_.End();
  }
  scheduler_->RestartPrefixChanges();
}

PrefixChanges LoggedScheduler::TakePrefixChanges(int limit) {
  PrefixChanges changes = scheduler_->TakePrefixChanges(limit);
  if (!line_.is_on() || changes.empty()) return changes;
  line_.Begin("take_prefixes");
  line_.Add("limit", limit);
  line_.Add("changes", changes);
  line_.End();
  return changes;
}

}  // namespace tandem
