// One simulated worker: the scheduler that a real one has, with a latency model for an engine.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "scheduler/instance_scheduler.h"
#include "scheduler/latency_model.h"
#include "scheduler/router.h"
#include "scheduler/sim/event_queue.h"
#include "scheduler/sim/random.h"
#include "scheduler/sim/step_scatter.h"

namespace tandem {

struct SimInstanceOptions {
  InstanceRole role = InstanceRole::kMixed;
  InstanceOptions scheduler;  // its depth is the number of stages
  LatencyModel latency;       // of a step through all stages, which take equal parts
  StepScatter scatter;
  double kv_bytes_per_token = 0;
  int num_layers = 1;
  int num_devices = 1;  // it is provisioned with
  uint64_t seed = 0;    // of the scatter
};

// What a simulated worker tells its owner. None may be empty.
struct SimInstanceHooks {
  // A step of `batch` has been begun and takes until `end`.
  std::function<void(const Batch& batch, absl::Time end)> on_step_begin;
  // It has stored its KV; its events come right after.
  std::function<void(const Batch& batch)> on_step_end;
  // The token that a row of the batch draws.
  std::function<TokenId(const BatchRow& row)> draw_token;
  // In the order in which they happened.
  std::function<void(const Event& event)> on_event;
};

// What an instance has done, those of its lives that have ended included.
struct SimInstanceTotals {
  absl::Duration busy;  // of the first stage
  int64_t steps = 0;
  int64_t max_blocks_in_use = 0;  // neither free nor cached
  int64_t preemptions = 0;
  int64_t recomputes = 0;
  int64_t prefix_queried_tokens = 0;
  int64_t prefix_hit_tokens = 0;
  int64_t ledger_breaches = 0;
  int num_deaths = 0;
};

// Drives one InstanceScheduler as a worker's step loop does: whatever arrives at one time is in the
// queues before the next batch is made. One thread, the queue's.
class SimInstance {
 public:
  // INVALID_ARGUMENT as InstanceScheduler::Create.
  static absl::StatusOr<std::unique_ptr<SimInstance>> Create(const SimInstanceOptions& options,
                                                             EventQueue* queue,
                                                             SimInstanceHooks hooks);

  // Runs `call` on the scheduler, passes its events on and sees that steps are made. Not to be
  // called while the instance is dead.
  void Do(const std::function<void(InstanceScheduler&)>& call);

  // Everything on it is gone, and its steps in flight never end. A dead one starts again, empty and
  // with the next epoch.
  void Die();
  void Restart();

  bool alive() const { return scheduler_ != nullptr; }
  uint64_t epoch() const { return epoch_; }
  const SimInstanceOptions& options() const { return options_; }
  SchedulerStats Stats() const { return scheduler_->Stats(); }
  SimInstanceTotals Totals() const;

  // What must not be once nothing is under way: blocks that are neither free nor cached, a ledger
  // that does not add up. Empty: nothing; also while it is dead.
  std::string Problem() const;

  // What its heartbeat tells of it, under the name `id`.
  InstanceView View(const InstanceId& id) const;

  // What of its prefix cache has changed since it was last asked, a heartbeat's worth at most.
  PrefixChanges TakePrefixChanges();

  // A hash of every batch so far: rows, positions, blocks and times.
  uint64_t digest() const { return digest_; }

 private:
  SimInstance(const SimInstanceOptions& options, EventQueue* queue, SimInstanceHooks hooks);
  void PlanStep();
  void Step();
  void EndStep(uint64_t epoch, const std::shared_ptr<Batch>& batch);
  absl::Duration StepTime(const StepShape& shape);
  // When each stage of a step that begins now is over; returns the last's end.
  absl::Time PassStages(absl::Duration step_time);
  void PassEvents(const std::vector<Event>& events);
  void PlanTick();
  void AddToDigest(const Batch& batch);

  const SimInstanceOptions options_;
  EventQueue& queue_;
  const SimInstanceHooks hooks_;
  std::unique_ptr<InstanceScheduler> scheduler_;  // null: dead
  uint64_t epoch_ = 1;
  bool step_planned_ = false;
  std::vector<absl::Time> stage_free_;
  absl::Time next_tick_ = absl::InfiniteFuture();
  StepOutput output_;  // reused
  Random random_;
  SimInstanceTotals totals_;
  uint64_t digest_ = 0;
};

}  // namespace tandem
