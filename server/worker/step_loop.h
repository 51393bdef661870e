// The thread that owns a worker's scheduler and model runner, and steps them. Everything else
// reaches it through its inbox.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "engine/runner/model_runner.h"
#include "scheduler/instance_scheduler.h"

namespace tandem {

// Who wants to hear of one request. Called on the loop's thread; must not block.
class RequestSink {
 public:
  virtual ~RequestSink() = default;

  // The scheduler did not accept the request; nothing else will be called.
  virtual void OnRefused(const absl::Status& status) = 0;

  // Consecutive events of the request, such as a token and the end that it brought. After a
  // terminal event nothing follows.
  virtual void OnEvents(absl::Span<const Event> events, absl::Time now) = 0;

  // The KV of positions [0, num_tokens) is stored in `layer`. On the loop's thread, in the middle
  // of a step.
  virtual void OnLayerStored(int layer, int num_tokens) {}
};

struct StepLoopStats {
  SchedulerStats scheduler;
  double step_seconds = 0;  // spent in steps since the start
  bool healthy = true;      // has no work, or has made a step lately
};

class StepLoop {
 public:
  // What a command may touch: it runs on the loop's thread between two steps.
  struct Context {
    InstanceScheduler& scheduler;
    absl::Time now;
  };
  using Command = std::function<void(Context&)>;

  struct Options {
    int max_inbox = 65536;
    absl::Duration health_timeout = absl::Seconds(20);
  };

  // `runner` outlives the loop and belongs to it from now on.
  StepLoop(std::unique_ptr<InstanceScheduler> scheduler, ModelRunner* runner,
           const Options& options);
  ~StepLoop();  // Stops.

  void Start();
  // Finishes the step under way, drops the rest and joins. Sinks hear nothing more.
  void Stop();

  // Thread-safe. A new request: adds it to the scheduler (Add, or Expect if `expect`) with `sink`
  // for its events. RESOURCE_EXHAUSTED when the inbox is full; the sink then hears nothing.
  struct Submission {
    Request request;
    bool expect = false;
    std::shared_ptr<RequestSink> sink;
  };
  absl::Status Submit(Submission submission);

  // Thread-safe. Runs `command` before the next step. Never refused: the number of commands is
  // bounded by that of requests.
  void Post(Command command);

  // Thread-safe. State after the last step.
  StepLoopStats Stats(absl::Time now) const;

 private:
  struct Entry {
    uint32_t attempt;
    std::shared_ptr<RequestSink> sink;
  };

  void Run();
  void RunInbox();
  void Accept(Submission& submission, absl::Time now);
  void RunStep(const Batch& batch);
  void Dispatch(const std::vector<Event>& events, absl::Time now);
  void OnLayerDone(int layer);
  void PublishStats(absl::Duration step, bool idle, absl::Time now);
  void WaitForWork(absl::Time until);

  const Options options_;
  ModelRunner* const runner_;

  // Loop thread only.
  std::unique_ptr<InstanceScheduler> scheduler_;
  absl::flat_hash_map<RequestId, Entry> sinks_;
  std::vector<std::pair<RequestSink*, int>>
      storing_;  // sinks of the batch under way, with positions stored

  mutable absl::Mutex mutex_;
  std::deque<Command> inbox_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  SchedulerStats stats_ ABSL_GUARDED_BY(mutex_);
  double step_seconds_ ABSL_GUARDED_BY(mutex_) = 0;
  bool idle_ ABSL_GUARDED_BY(mutex_) = true;
  absl::Time last_progress_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();

  std::thread thread_;
};

}  // namespace tandem
