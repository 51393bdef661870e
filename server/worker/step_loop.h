// The thread that owns a worker's scheduler and model runner, and steps them: as many steps at once
// as the runner has stages. Everything else reaches it through its inbox.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "engine/runner/model_runner.h"
#include "scheduler/instance_scheduler.h"
#include "scheduler/instance_view.h"
#include "scheduler/latency_fit.h"
#include "scheduler/replay/logged_scheduler.h"
#include "server/worker/step_pace.h"

namespace tandem {

// When events happened.
struct EventTime {
  absl::Time now;
  absl::Time step_begin = absl::InfinitePast();  // of the step that brought them, if one did
};

// Who wants to hear of one request. Called on the loop's thread; must not block.
class RequestSink {
 public:
  virtual ~RequestSink() = default;

  // The scheduler did not accept the request; nothing else will be called.
  virtual void OnRefused(const absl::Status& status) = 0;

  // Consecutive events of the request, such as a token and the end that it brought. After a
  // terminal event nothing follows.
  virtual void OnEvents(absl::Span<const Event> events, const EventTime& time) = 0;

  // The KV of positions [0, num_tokens) is stored in `layer`. On the loop's thread, in the middle
  // of a step. May come after the terminal event, when the request ended meanwhile.
  virtual void OnLayerStored(int layer, int num_tokens) {}

  // This worker will end before the request does: another one should go on with it. Until then it
  // goes on here. At most once.
  virtual void OnLeave() = 0;
};

struct StepLoopStats {
  SchedulerStats scheduler;
  double step_seconds = 0;  // spent in steps since the start
  bool idle = true;         // no step is under way, and no message that the numbers do not know
  bool healthy = true;      // has no work, or has made a step lately
  StepLatency latency;      // fitted to the steps so far
};

class StepLoop {
 public:
  // What a command may touch: it runs on the loop's thread between two steps.
  struct Context {
    LoggedScheduler& scheduler;
    absl::Time now;
  };
  using Command = std::function<void(Context&)>;

  struct Options {
    int max_inbox = 65536;
    absl::Duration health_timeout = absl::Seconds(20);
    // See LatencyCoefficients::large_decode_rows.
    int64_t many_tokens = 0;
    LineSink event_log = nullptr;  // of the scheduler; called on the loop's thread
  };

  // `runner` outlives the loop and belongs to it from now on.
  StepLoop(std::unique_ptr<InstanceScheduler> scheduler, ModelRunner* runner,
           const Options& options);
  ~StepLoop();  // Stops.

  void Start();
  // Finishes what this thread computes, drops the rest and joins. Sinks hear nothing more and are
  // let go.
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

  // Thread-safe. This worker ends at `end`: tells the sinks of requests that by the pace of recent
  // steps will not have finished by then, those that were not told before.
  void HandOver(absl::Time end);

  // Thread-safe. State after the last step.
  StepLoopStats Stats(absl::Time now) const;

  // Thread-safe. What of the prefix cache has changed since it was last taken, a bounded part at a
  // time; nothing before the first restart, after which all that it holds is told anew.
  PrefixChanges TakePrefixChanges();
  void RestartPrefixChanges();

 private:
  struct Entry {
    uint32_t attempt;
    std::shared_ptr<RequestSink> sink;
    bool is_leaving = false;
  };

  struct StepInFlight {
    Batch batch;
    std::vector<std::pair<std::shared_ptr<RequestSink>, int>> storing;  // with positions stored
    StepShape shape;
    absl::Time begin;
    // When its place was free: its begin, or before, if the loop was busy with the step before.
    absl::Time since;
  };

  void Run();
  void RunInbox();
  void Accept(Submission& submission, absl::Time now);
  // False: a rank of the instance has died, so there will be no more steps.
  bool BeginStep(const Batch& batch);
  bool FinishStep();  // the oldest
  void FailStep(const Batch& batch, const absl::Status& status);
  void Dispatch(const std::vector<Event>& events, const EventTime& time);
  void OnLayerDone(uint64_t step, int layer);
  void PublishStats(absl::Duration step, bool idle, absl::Time now);
  void TellLeaving(absl::Duration time_left);
  void WaitForWork(absl::Time until);

  const Options options_;
  ModelRunner* const runner_;

  // Loop thread only.
  LoggedScheduler scheduler_;
  absl::flat_hash_map<RequestId, Entry> sinks_;
  std::deque<StepInFlight> steps_;              // in the runner; at most its depth
  absl::Time last_end_ = absl::InfinitePast();  // of a step
  // The end of the last step, if the loop has been busy from there on and begun none.
  std::optional<absl::Time> free_since_;
  LatencyFit latency_;
  StepPace pace_;

  mutable absl::Mutex mutex_;
  std::deque<Command> inbox_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  SchedulerStats stats_ ABSL_GUARDED_BY(mutex_);
  StepLatency step_latency_ ABSL_GUARDED_BY(mutex_);
  PrefixChanges prefix_changes_ ABSL_GUARDED_BY(mutex_);  // yet to be taken
  double step_seconds_ ABSL_GUARDED_BY(mutex_) = 0;
  bool idle_ ABSL_GUARDED_BY(mutex_) = true;
  absl::Time last_progress_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();

  std::thread thread_;
};

}  // namespace tandem
