// An InstanceScheduler that writes down what it is told and what it answers, so that LogReplay can
// do the same again.
//
//   LoggedScheduler scheduler(std::move(instance_scheduler), [&](absl::string_view line) {...});
//   const Batch batch = scheduler.Schedule(now);   // as of an InstanceScheduler
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "scheduler/instance_scheduler.h"
#include "scheduler/replay/append_step.h"
#include "scheduler/replay/call_line.h"

namespace tandem {

// Every call is that of the same name of InstanceScheduler, which has the contracts, and writes one
// line: tokens of prompts included, probabilities of tokens not, since they only pass through.
// Calls that took nothing (no events, no changes) write none. Without a sink it only passes calls
// on. One thread.
class LoggedScheduler {
 public:
  explicit LoggedScheduler(std::unique_ptr<InstanceScheduler> scheduler, LineSink sink = nullptr);

  absl::Status Add(Request request, absl::Time now);
  absl::Status Expect(Request request, absl::Time now);

  void Begun(RequestId id, uint32_t attempt, absl::Time now);
  void Offer(const KvHandoff& handoff, absl::Time now);
  void Recompute(RequestId id, uint32_t attempt, absl::Time now);
  void Fence(RequestId id, uint32_t attempt, absl::Time now);

  void SetLease(RequestId id, uint32_t attempt, absl::Time end);
  void Release(RequestId id, uint32_t attempt, absl::Time now);

  void Abort(RequestId id, uint32_t attempt, absl::Time now);

  Batch Schedule(absl::Time now);
  std::vector<Event> Commit(const Batch& batch, const StepOutput& output, absl::Time now);
  std::vector<Event> Fail(const Batch& batch, const absl::Status& status, absl::Time now);

  void Tick(absl::Time now);
  absl::Time NextTick() const { return scheduler_->NextTick(); }

  std::vector<Event> TakeEvents();

  void RestartPrefixChanges();
  PrefixChanges TakePrefixChanges(int limit);

  SchedulerStats Stats() const { return scheduler_->Stats(); }
  std::vector<UnfinishedRequest> Unfinished() const { return scheduler_->Unfinished(); }

 private:
  using EnterCall = absl::Status (InstanceScheduler::*)(Request, absl::Time);
  absl::Status Enter(const char* call, EnterCall enter, Request request, absl::Time now);
  void LogCall(const char* call, absl::Time now);  // the whole line
  void LogCall(const char* call, RequestId id, uint32_t attempt, absl::Time now);

  void AddEvents(const std::vector<Event>& events);

  const std::unique_ptr<InstanceScheduler> scheduler_;
  CallLine line_;
  BlockTables tables_;  // of requests that have not ended
};

}  // namespace tandem
