#include "scheduler/sim/sim_instance.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"

namespace tandem {
namespace {

// As much as a worker's heartbeat tells.
constexpr int kMaxPrefixChanges = 4096;

uint64_t Mix(uint64_t hash, uint64_t value) {
  hash = (hash ^ value) * 0x9E3779B97F4A7C15u;
  return hash ^ (hash >> 29);
}

int64_t BlocksInUse(const SchedulerStats& stats) {
  return stats.num_blocks - stats.blocks[static_cast<int>(BlockState::kFree)] -
         stats.blocks[static_cast<int>(BlockState::kCached)];
}

// One head of as many bytes as a token's KV has.
KvLayout LayoutOf(const SimInstanceOptions& options) {
  KvLayout layout = {.num_layers = options.num_layers,
                     .num_kv_heads = 1,
                     .head_dim = 1,
                     .block_size = options.scheduler.block_size};
  const double token_bytes = 2.0 * options.num_layers * layout.TokenBytes();
  layout.head_dim = std::max(1, static_cast<int>(options.kv_bytes_per_token / token_bytes));
  return layout;
}

}  // namespace

absl::StatusOr<std::unique_ptr<SimInstance>> SimInstance::Create(const SimInstanceOptions& options,
                                                                 EventQueue* queue,
                                                                 SimInstanceHooks hooks) {
  auto instance = std::unique_ptr<SimInstance>(new SimInstance(options, queue, std::move(hooks)));
  ASSIGN_OR_RETURN(instance->scheduler_, InstanceScheduler::Create(options.scheduler));
  instance->scheduler_->RestartPrefixChanges();
  return instance;
}

SimInstance::SimInstance(const SimInstanceOptions& options, EventQueue* queue,
                         SimInstanceHooks hooks)
    : options_(options),
      queue_(*queue),
      hooks_(std::move(hooks)),
      stage_free_(options.scheduler.depth, queue->now()),
      random_(options.seed) {}

void SimInstance::Do(const std::function<void(InstanceScheduler&)>& call) {
  call(*scheduler_);
  PassEvents(scheduler_->TakeEvents());
  PlanStep();
}

void SimInstance::PlanStep() {
  if (std::exchange(step_planned_, true)) return;
  queue_.At(queue_.now(), [this] { Step(); });
}

void SimInstance::Step() {
  step_planned_ = false;
  if (!alive()) return;
  const absl::Time now = queue_.now();
  if (stage_free_[0] > now) return;  // planned again when it is free
  auto batch = std::make_shared<Batch>(scheduler_->Schedule(now));
  PassEvents(scheduler_->TakeEvents());
  PlanTick();
  if (batch->empty()) return;
  const absl::Time end = PassStages(StepTime(ShapeOf(*batch)));
  AddToDigest(*batch);
  totals_.busy += stage_free_[0] - now;
  hooks_.on_step_begin(*batch, end);
  queue_.At(end, [this, epoch = epoch_, batch] { EndStep(epoch, batch); });
  if (stage_free_.size() > 1) {
    queue_.At(stage_free_[0], [this] { PlanStep(); });
  }
}

absl::Duration SimInstance::StepTime(const StepShape& shape) {
  const StepScatter& scatter = options_.scatter;
  return options_.latency.StepTime(shape) *
         DrawScatter(shape.prefill_tokens > 0 ? scatter.prefill : scatter.decode, random_);
}

absl::Time SimInstance::PassStages(absl::Duration step_time) {
  const absl::Duration part = step_time / static_cast<int64_t>(stage_free_.size());
  absl::Time time = queue_.now();
  for (absl::Time& free : stage_free_) {
    time = std::max(time, free) + part;
    free = time;
  }
  return time;
}

void SimInstance::EndStep(uint64_t epoch, const std::shared_ptr<Batch>& batch) {
  if (!alive() || epoch != epoch_) return;
  output_.rows.resize(batch->rows.size());
  for (size_t i = 0; i < batch->rows.size(); ++i) {
    const BatchRow& row = batch->rows[i];
    RowOutput& out = output_.rows[i];
    out.request = row.request;
    out.tokens.resize(row.sample ? 1 : 0);
    if (row.sample) out.tokens[0].token = hooks_.draw_token(row);
  }
  ++totals_.steps;
  totals_.max_blocks_in_use = std::max(totals_.max_blocks_in_use, BlocksInUse(Stats()));
  hooks_.on_step_end(*batch);
  PassEvents(scheduler_->Commit(*batch, output_, queue_.now()));
  PlanStep();
}

void SimInstance::PassEvents(const std::vector<Event>& events) {
  for (const Event& event : events) hooks_.on_event(event);
}

void SimInstance::PlanTick() {
  const absl::Time next = scheduler_->NextTick();
  if (next >= next_tick_ || next == absl::InfiniteFuture()) return;
  next_tick_ = next;
  queue_.At(next, [this, next] {
    if (next_tick_ == next) next_tick_ = absl::InfiniteFuture();
    if (!alive()) return;
    Do([this](InstanceScheduler& scheduler) { scheduler.Tick(queue_.now()); });
    PlanTick();
  });
}

void SimInstance::Die() {
  totals_ = Totals();
  ++totals_.num_deaths;
  scheduler_ = nullptr;
}

void SimInstance::Restart() {
  // The options were good before.
  scheduler_ = std::move(InstanceScheduler::Create(options_.scheduler)).value();
  scheduler_->RestartPrefixChanges();
  ++epoch_;
  std::fill(stage_free_.begin(), stage_free_.end(), queue_.now());
}

SimInstanceTotals SimInstance::Totals() const {
  SimInstanceTotals totals = totals_;
  if (!alive()) return totals;
  const SchedulerStats stats = Stats();
  totals.preemptions += stats.preemptions;
  totals.recomputes += stats.recomputes;
  totals.prefix_queried_tokens += stats.prefix_queried_tokens;
  totals.prefix_hit_tokens += stats.prefix_hit_tokens;
  totals.ledger_breaches += stats.ledger_breaches;
  return totals;
}

std::string SimInstance::Problem() const {
  if (!alive()) return "";
  const int64_t num_used = BlocksInUse(Stats()), num_breaches = Totals().ledger_breaches;
  if (num_used == 0 && num_breaches == 0) return "";
  return absl::StrCat(num_used, " of ", Stats().num_blocks, " blocks are neither free nor cached, ",
                      num_breaches, " ledger breaches");
}

InstanceView SimInstance::View(const InstanceId& id) const {
  const SchedulerStats stats = Stats();
  InstanceView view;
  view.id = id;
  view.role = options_.role;
  view.epoch = epoch_;
  view.layout = LayoutOf(options_);
  view.num_free_blocks = static_cast<int>(stats.blocks[static_cast<int>(BlockState::kFree)] +
                                          stats.blocks[static_cast<int>(BlockState::kCached)]);
  view.num_queued_tokens = stats.waiting_tokens;
  view.num_queued_prompts =
      stats.waiting_tokens > 0 ? stats.waiting_requests + stats.prefilling_requests : 0;
  view.num_requests = stats.decoding_requests + stats.receiving_requests + stats.expected_requests +
                      stats.waiting_requests + stats.prefilling_requests;
  view.num_decoding = stats.decoding_requests;
  view.num_decoding_tokens = stats.decoding_tokens;
  const LatencyCoefficients& latency = options_.latency.coefficients();
  view.latency = {.knows_prefill = true, .knows_decode = true, .coefficients = latency};
  view.num_steps = Totals().steps;
  view.depth = options_.scheduler.depth;
  view.chunk_tokens =
      std::min(options_.scheduler.max_num_batched_tokens, options_.scheduler.prefill_batch_tokens);
  view.compute = absl::StrCat(latency.prefill.token_ms, " ", latency.decode.base_ms);
  return view;
}

PrefixChanges SimInstance::TakePrefixChanges() {
  return scheduler_->TakePrefixChanges(kMaxPrefixChanges);
}

void SimInstance::AddToDigest(const Batch& batch) {
  digest_ = Mix(digest_, absl::ToUnixNanos(queue_.now()));
  digest_ = Mix(digest_, batch.step);
  for (const BatchRow& row : batch.rows) {
    digest_ = Mix(digest_, row.request.value());
    digest_ = Mix(digest_, (uint64_t(row.begin) << 32) ^ uint64_t(row.num_tokens));
    digest_ = Mix(digest_, row.block_table.empty() ? 0 : row.block_table.back());
  }
}

}  // namespace tandem
