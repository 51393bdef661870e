#include "scheduler/sim/compat/distserve_simulator.h"

#include <algorithm>
#include <deque>
#include <queue>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/core/log.h"
#include "engine/core/status_macros.h"

namespace tandem {
namespace {

constexpr int64_t kMaxDecodeTokens = 50000;  // of a decode batch, the same for all models
// Overhead of a step's first stage, in ms: of the call, and of each token of it.
constexpr double kCallMs = 2.0;
constexpr double kCallMsPerToken = 1e-4;
constexpr double kPrefillMsPerStage = 1.0;

// Requests that pass the stages of a prefill instance as one.
struct Chunk {
  std::vector<int> requests;
  int64_t tokens = 0;
  int64_t squares = 0;
};

struct DecodingRequest {
  int request = 0;
  int context = 0;    // tokens that have their KV
  int remaining = 0;  // tokens to come
};

// FIFO of what waits for a stage to decode it.
class DecodeQueue {
 public:
  size_t size() const { return waiting_.size(); }
  bool empty() const { return waiting_.empty(); }

  void Push(const DecodingRequest& request) {
    waiting_.push_back(request);
    tokens_ += request.context + 1;
  }

  // Moves from the front into `batch` (empty) what fits a batch; returns its sum of contexts.
  int64_t Take(std::vector<DecodingRequest>& batch) {
    int64_t taken = 0;
    if (tokens_ <= kMaxDecodeTokens) {
      batch.swap(waiting_);
      taken = tokens_;
    } else {
      auto end = waiting_.begin();
      for (; taken + end->context + 1 <= kMaxDecodeTokens; ++end) taken += end->context + 1;
      batch.assign(waiting_.begin(), end);
      waiting_.erase(waiting_.begin(), end);
    }
    tokens_ -= taken;
    return taken - static_cast<int64_t>(batch.size());
  }

 private:
  std::vector<DecodingRequest> waiting_;
  int64_t tokens_ = 0;  // sum of context + 1
};

// One stage of an instance. At most one event of it is pending: its wake-up, or its batch's end.
struct Worker {
  const PhaseModel* model = nullptr;
  int head = 0;  // index of its instance's first stage
  bool is_first = false;
  bool is_last = false;
  bool is_busy = false;
  bool is_waking = false;

  std::deque<int> prompts;   // first stage
  std::deque<Chunk> chunks;  // later stages
  DecodeQueue decodes;

  bool is_prefilling = false;  // what the running batch is
  Chunk chunk;
  std::vector<DecodingRequest> batch;

  size_t PrefillLoad() const {
    return prompts.size() + (is_busy && is_prefilling ? chunk.requests.size() : 0);
  }
};

struct WorkerEvent {
  double time_ms;
  int64_t order;
  int worker;

  bool operator>(const WorkerEvent& other) const {
    return std::tie(time_ms, order) > std::tie(other.time_ms, other.order);
  }
};

class Simulation {
 public:
  Simulation(const DistServeSetup& setup, absl::Span<const CompatRequest> requests,
             const MissBudget* budget)
      : setup_(setup), requests_(requests), budget_(budget), times_(requests.size()) {
    for (int i = 0; i < setup.num_prefill; ++i) AddInstance(setup.prefill, prefill_heads_);
    for (int i = 0; i < setup.num_decode && !setup.is_colocated; ++i) {
      AddInstance(setup.decode, decode_heads_);
    }
  }

  // Runs to the end, or until the budget is exceeded: false.
  bool Run() {
    size_t next = 0;
    while (next < requests_.size() || !events_.empty()) {
      // Arrivals were inserted before everything else, so they go first at equal times.
      if (next < requests_.size() &&
          (events_.empty() || requests_[next].arrival_ms <= events_.top().time_ms)) {
        now_ms_ = requests_[next].arrival_ms;
        Arrive(static_cast<int>(next++));
      } else {
        const WorkerEvent event = events_.top();
        events_.pop();
        now_ms_ = event.time_ms;
        Handle(workers_[event.worker]);
      }
      if (budget_ != nullptr && (num_ttft_misses_ > budget_->max_ttft_misses ||
                                 num_tpot_misses_ > budget_->max_tpot_misses)) {
        return false;
      }
    }
    return true;
  }

  std::vector<CompatTimes> TakeTimes() { return std::move(times_); }

 private:
  void AddInstance(const PhaseModel& model, std::vector<int>& heads) {
    const int head = static_cast<int>(workers_.size());
    heads.push_back(head);
    for (int stage = 0; stage < model.pp; ++stage) {
      Worker& worker = workers_.emplace_back();
      worker.model = &model;
      worker.head = head;
      worker.is_first = stage == 0;
      worker.is_last = stage == model.pp - 1;
    }
  }

  void Arrive(int request) {
    if (setup_.is_decode_only) return EndPrefill(request, /*own_head=*/0);
    Worker* best = &workers_[prefill_heads_[0]];
    for (int head : prefill_heads_) {
      if (workers_[head].PrefillLoad() < best->PrefillLoad()) best = &workers_[head];
    }
    best->prompts.push_back(request);
    Wake(*best);
  }

  // Has a sleeping worker look at its queues, after what happens at this instant has been queued.
  void Wake(Worker& worker) {
    if (worker.is_busy || worker.is_waking) return;
    worker.is_waking = true;
    Post(worker, now_ms_);
  }

  void Post(const Worker& worker, double time_ms) {
    events_.push({time_ms, num_posted_++, static_cast<int>(&worker - workers_.data())});
  }

  void Handle(Worker& worker) {
    worker.is_waking = false;
    if (worker.is_busy) {
      worker.is_prefilling ? EndPrefillStage(worker) : EndDecodeStage(worker);
      worker.is_busy = false;
    }
    if (!worker.prompts.empty() || !worker.chunks.empty()) {
      StartPrefill(worker);
    } else if (!worker.decodes.empty()) {
      StartDecode(worker);
    }
  }

  void StartPrefill(Worker& worker) {
    if (worker.is_first) {
      worker.chunk = Chunk();
      while (!worker.prompts.empty()) {
        const int64_t length = requests_[worker.prompts.front()].prompt_len;
        if (worker.chunk.tokens + length > worker.model->max_num_tokens) break;
        worker.chunk.requests.push_back(worker.prompts.front());
        worker.chunk.tokens += length;
        worker.chunk.squares += length * length;
        worker.prompts.pop_front();
      }
    } else {
      worker.chunk = std::move(worker.chunks.front());
      worker.chunks.pop_front();
    }
    worker.is_busy = worker.is_prefilling = true;
    Post(worker, now_ms_ + PrefillStageMs(*worker.model, worker.chunk.tokens, worker.chunk.squares,
                                          worker.is_first));
  }

  void EndPrefillStage(Worker& worker) {
    if (!worker.is_last) {
      Worker& next = (&worker)[1];
      next.chunks.push_back(std::move(worker.chunk));
      return Wake(next);
    }
    worker.is_prefilling = false;  // As of now it counts no more in dispatch.
    for (int request : worker.chunk.requests) EndPrefill(request, worker.head);
  }

  // The first token of `request`; decode begins, or the request ends.
  void EndPrefill(int request, int own_head) {
    const CompatRequest& from = requests_[request];
    times_[request].first_token_ms = now_ms_;
    if (budget_ != nullptr && static_cast<size_t>(request) >= budget_->first_request) {
      num_ttft_misses_ += now_ms_ - from.arrival_ms >= budget_->ttft_ms;
    }
    if (from.output_len == 0) {
      times_[request].exit_ms = now_ms_;
      return;
    }
    Worker* best = setup_.is_colocated ? &workers_[own_head] : &workers_[decode_heads_[0]];
    for (int head : decode_heads_) {
      if (workers_[head].decodes.size() < best->decodes.size()) best = &workers_[head];
    }
    best->decodes.Push({request, from.prompt_len, from.output_len});
    Wake(*best);
  }

  void StartDecode(Worker& worker) {
    const int64_t context = worker.decodes.Take(worker.batch);
    worker.is_busy = true;
    worker.is_prefilling = false;
    Post(worker,
         now_ms_ + DecodeStageMs(*worker.model, context, static_cast<int64_t>(worker.batch.size()),
                                 worker.is_first));
  }

  void EndDecodeStage(Worker& worker) {
    Worker& next = worker.is_last ? workers_[worker.head] : (&worker)[1];
    for (DecodingRequest& decoding : worker.batch) {
      if (worker.is_last) {
        ++decoding.context;
        if (--decoding.remaining == 0) {
          Exit(decoding.request);
          continue;
        }
      }
      next.decodes.Push(decoding);
    }
    worker.batch.clear();
    if (&next != &worker && !next.decodes.empty()) Wake(next);
  }

  void Exit(int request) {
    times_[request].exit_ms = now_ms_;
    if (budget_ == nullptr || static_cast<size_t>(request) < budget_->first_request) return;
    num_tpot_misses_ += CompatTpot(requests_[request], times_[request]) >= budget_->tpot_ms;
  }

  const DistServeSetup& setup_;
  const absl::Span<const CompatRequest> requests_;
  const MissBudget* const budget_;  // may be null

  std::vector<Worker> workers_;  // the stages of an instance stand side by side
  std::vector<int> prefill_heads_, decode_heads_;
  std::priority_queue<WorkerEvent, std::vector<WorkerEvent>, std::greater<>> events_;
  int64_t num_posted_ = 0;
  double now_ms_ = 0;
  std::vector<CompatTimes> times_;
  size_t num_ttft_misses_ = 0, num_tpot_misses_ = 0;
};

absl::Status CheckRequests(const DistServeSetup& setup, absl::Span<const CompatRequest> requests) {
  for (size_t i = 0; i < requests.size(); ++i) {
    const CompatRequest& request = requests[i];
    if (!setup.is_decode_only && request.prompt_len > setup.prefill.max_num_tokens) {
      return absl::InvalidArgumentError(
          absl::StrCat("request ", i, ": its prompt of ", request.prompt_len,
                       " tokens exceeds the prefill capacity of ", setup.prefill.max_num_tokens));
    }
    const int64_t longest = int64_t{request.prompt_len} + request.output_len;
    if (request.output_len > 0 && longest > kMaxDecodeTokens) {
      return absl::InvalidArgumentError(
          absl::StrCat("request ", i, ": its context grows to ", longest,
                       " tokens, more than a decode batch of ", kMaxDecodeTokens));
    }
    CHECK(i == 0 || request.arrival_ms >= requests[i - 1].arrival_ms) << "unsorted arrivals";
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<CompatTimes>> SimulateDistServe(
    const DistServeSetup& setup, absl::Span<const CompatRequest> requests) {
  RETURN_IF_ERROR(CheckRequests(setup, requests));
  Simulation simulation(setup, requests, nullptr);
  simulation.Run();
  return simulation.TakeTimes();
}

absl::StatusOr<std::optional<std::vector<CompatTimes>>> SimulateDistServeWithin(
    const DistServeSetup& setup, absl::Span<const CompatRequest> requests,
    const MissBudget& budget) {
  RETURN_IF_ERROR(CheckRequests(setup, requests));
  Simulation simulation(setup, requests, &budget);
  if (!simulation.Run()) return std::nullopt;
  return simulation.TakeTimes();
}

double CompatTpot(const CompatRequest& request, const CompatTimes& times) {
  if (request.output_len == 0) return 0;
  return (times.exit_ms - times.first_token_ms) / request.output_len;
}

double PrefillStageMs(const PhaseModel& model, int64_t tokens, int64_t squares, bool is_first) {
  const StepFit& fit = model.fits.prefill;
  const double all_layers =
      fit[0] + fit[1] * static_cast<double>(tokens) + fit[2] * static_cast<double>(squares);
  const double call = is_first ? kCallMs + kCallMsPerToken * static_cast<double>(tokens) : 0.0;
  return all_layers / model.pp + kPrefillMsPerStage * model.pp + call;
}

double DecodeStageMs(const PhaseModel& model, int64_t context, int64_t batch_size, bool is_first) {
  const StepFit& fit =
      batch_size < model.fits.large_batch ? model.fits.small_decode : model.fits.large_decode;
  const double all_layers = fit[0] + fit[1] * static_cast<double>(context + batch_size) +
                            fit[2] * static_cast<double>(batch_size);
  const double call = is_first ? kCallMs + kCallMsPerToken * static_cast<double>(context) : 0.0;
  return all_layers / model.pp + call;
}

}  // namespace tandem
