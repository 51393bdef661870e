#include "scheduler/sim/cluster_simulator.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "engine/core/log.h"
#include "engine/core/prefix_key.h"
#include "engine/core/status_macros.h"
#include "scheduler/sim/random.h"

namespace tandem {
namespace {

// A cluster in which nothing has happened for so long will never do anything again.
constexpr absl::Duration kStuck = absl::Hours(1);
constexpr absl::Duration kRouteRetryDelay = absl::Milliseconds(50);
// Streams of the seed.
constexpr uint64_t kCancelStream = 11;
constexpr uint64_t kRouterStream = 12;
constexpr uint64_t kScatterStream = 13;

using Outcome = RequestRecord::Outcome;

}  // namespace

absl::StatusOr<std::unique_ptr<ClusterSimulator>> ClusterSimulator::Create(
    const SimulationOptions& options) {
  RETURN_IF_ERROR(options.Validate());
  auto simulator = std::unique_ptr<ClusterSimulator>(new ClusterSimulator(options));
  RETURN_IF_ERROR(simulator->CreateInstances());
  return simulator;
}

ClusterSimulator::ClusterSimulator(const SimulationOptions& options)
    : options_(options),
      queue_(absl::UnixEpoch()),
      router_({.seed = MixSeed(options.seed, kRouterStream),
               .kv_bytes_per_second = options.SlowestLink()}),
      on_instance_(options.instances.size()) {}

absl::Status ClusterSimulator::CreateInstances() {
  handoffs_ = std::make_unique<HandoffSimulator>(
      options_, &instances_, &queue_,
      [this](int index, uint32_t attempt) { return Find(index, attempt); });
  for (size_t i = 0; i < options_.instances.size(); ++i) {
    const int instance = static_cast<int>(i);
    SimInstanceHooks hooks;
    hooks.on_step_begin = [this, instance](const Batch& batch, absl::Time end) {
      handoffs_->OnStep(instance, batch, end);
    };
    hooks.on_step_end = [this, instance](const Batch& batch) {
      handoffs_->OnStepEnd(instance, batch);
    };
    hooks.draw_token = [this](const BatchRow& row) { return DrawToken(row); };
    hooks.on_event = [this, instance](const Event& event) { OnEvent(instance, event); };
    SimInstanceOptions options = options_.instances[i];
    options.seed = MixSeed(MixSeed(options_.seed, kScatterStream), i);
    ASSIGN_OR_RETURN(std::unique_ptr<SimInstance> created,
                     SimInstance::Create(options, &queue_, std::move(hooks)));
    instances_.push_back(std::move(created));
    const InstanceOptions& scheduler = options.scheduler;
    if (scheduler.prefix_caching) block_sizes_.insert(scheduler.block_size);
  }
  return absl::OkStatus();
}

SimulationResult ClusterSimulator::Run(const Workload& workload) {
  workload_ = &workload;
  const int num_requests = static_cast<int>(workload.requests.size());
  requests_.resize(num_requests);
  result_.records.resize(num_requests);
  is_over_ = num_requests == 0;
  for (size_t i = 0; i < instances_.size(); ++i) Beat(static_cast<int>(i), instances_[i]->epoch());
  for (const SimFailure& failure : options_.failures) {
    queue_.After(failure.time, [this, failure] { Kill(failure); });
  }
  if (num_requests > 0) {
    queue_.After(workload.requests[0].arrival, [this] { Arrive(0); });
  }
  while (!options_.stop.stop_requested() && queue_.RunNext()) {
  }
  result_.was_stopped = options_.stop.stop_requested();
  if (!result_.was_stopped) CheckEnd();
  return std::move(result_);
}

// --- Gateway.

void ClusterSimulator::Arrive(int index) {
  const TimedRequest& timed = workload_->requests[index];
  if (index + 1 < static_cast<int>(requests_.size())) {
    queue_.At(absl::UnixEpoch() + workload_->requests[index + 1].arrival,
              [this, index] { Arrive(index + 1); });
  }
  last_progress_ = queue_.now();
  RequestRecord& record = result_.records[index];
  record.index = index;
  record.scheduled = record.sent = timed.arrival;
  record.prompt_tokens = timed.prompt_tokens;
  record.slo_class = timed.slo_class;
  requests_[index] = std::make_unique<SimRequest>();
  requests_[index]->index = index;
  requests_[index]->arrival = queue_.now();
  queue_.After(options_.ClientToScheduler(), [this, index] { AskForRoute(index); });
  Random random(MixSeed(options_.seed, index), kCancelStream);
  if (options_.cancel_share > 0 && random.Uniform() < options_.cancel_share) {
    queue_.After(options_.cancel_after * random.Exponential(), [this, index] { Cancel(index); });
  }
}

void ClusterSimulator::AskForRoute(int index) {
  SimRequest* request = Find(index, SimRequest::kAnyAttempt);
  if (request == nullptr) return;
  RouteRequest question{.num_prompt_tokens = workload_->requests[index].prompt_tokens,
                        .max_tokens = workload_->requests[index].output_tokens,
                        .prefixes = PrefixesOf(index),
                        .attempt = request->attempt,
                        .avoid = request->avoid,
                        .numerics = request->numerics};
  if (request->attempt > 0) question.replay_of = request->id;
  const absl::StatusOr<RouteDecision> decision = router_.Route(question, queue_.now());
  if (decision.ok()) return TakeRoute(index, *decision);
  if (request->attempt > 0 && absl::IsUnavailable(decision.status()) &&
      queue_.now() < request->give_up) {
    queue_.After(kRouteRetryDelay, [this, index] { AskForRoute(index); });
    return;
  }
  Refuse(*request, decision.status());
}

std::vector<PromptPrefixes> ClusterSimulator::PrefixesOf(int index) const {
  const std::vector<TokenId> prompt =
      SimPrompt(index, workload_->requests[index], workload_->block_tokens);
  std::vector<PromptPrefixes> prefixes;
  for (const int block_size : block_sizes_) {
    prefixes.push_back({.block_size = block_size, .keys = PrefixKeys(0, prompt, block_size)});
  }
  return prefixes;
}

void ClusterSimulator::TakeRoute(int index, const RouteDecision& decision) {
  SimRequest& request = *requests_[index];
  request.id = decision.request;
  request.numerics = decision.numerics;
  request.decode = IndexOf(decision.decode.id);
  request.decode_epoch = decision.decode.epoch;
  request.prefill = SimRequest::kNobody;
  if (decision.prefill) {
    request.prefill = IndexOf(decision.prefill->id);
    request.prefill_epoch = decision.prefill->epoch;
    on_instance_[request.prefill].insert(index);
  }
  on_instance_[request.decode].insert(index);
  index_of_[request.id] = index;
  AddToDigest(request.id.value());
  AddToDigest(MixSeed(request.prefill + 1, request.decode));
  queue_.After(options_.SchedulerToWorkers(),
               [this, index, attempt = request.attempt] { Deliver(index, attempt); });
}

void ClusterSimulator::Deliver(int index, uint32_t attempt) {
  SimRequest* request = Find(index, attempt);
  if (request == nullptr) return;
  const bool hands_off = request->prefill != SimRequest::kNobody;
  if (hands_off && !IsOn(*request, request->prefill)) return Lose(*request, request->prefill);
  if (!IsOn(*request, request->decode)) return Lose(*request, request->decode);
  const Request sent = MakeSimRequest(*request, workload_->requests[index], workload_->block_tokens,
                                      options_.max_tokens, options_.seed);
  request->accepted = queue_.now();
  absl::Status status;
  instances_[request->decode]->Do([&](InstanceScheduler& scheduler) {
    status = hands_off ? scheduler.Expect(sent, queue_.now()) : scheduler.Add(sent, queue_.now());
  });
  // It may have ended at once.
  if (!status.ok() || !hands_off || Find(index, attempt) == nullptr) {
    if (!status.ok()) Refuse(*request, status);
    return;
  }
  instances_[request->prefill]->Do([&](InstanceScheduler& scheduler) {
    Request to_hand_off = sent;
    to_hand_off.hand_off = true;
    status = scheduler.Add(std::move(to_hand_off), queue_.now());
  });
  if (!status.ok()) Refuse(*request, status);
}

void ClusterSimulator::Refuse(SimRequest& request, const absl::Status& status) {
  const bool is_shed = absl::IsResourceExhausted(status);
  End(request, is_shed ? Outcome::kShed : Outcome::kFailed, std::string(status.message()));
}

void ClusterSimulator::Lose(SimRequest& request, int instance) {
  ++result_.num_replays;
  const uint64_t epoch = instance == request.prefill ? request.prefill_epoch : request.decode_epoch;
  request.avoid.emplace_back(InstanceId(absl::StrCat(instance)), epoch);
  GiveBack(request);
  ++request.attempt;
  request.give_up = queue_.now() + options_.replay_timeout;
  // The news travels to the gateway, the question to the scheduler.
  queue_.After(2 * options_.network_delay, [this, index = request.index] { AskForRoute(index); });
}

void ClusterSimulator::Cancel(int index) {
  SimRequest* request = Find(index, SimRequest::kAnyAttempt);
  if (request == nullptr) return;
  request->cancelled = true;
  End(*request, Outcome::kFailed, "the client went away");
}

// The present attempt ends wherever it is.
void ClusterSimulator::GiveBack(SimRequest& request) {
  handoffs_->Close(request);
  for (const bool decode : {false, true}) {
    int& instance = decode ? request.decode : request.prefill;
    if (instance == SimRequest::kNobody) continue;
    on_instance_[instance].erase(request.index);
    AbortOn(instance, decode ? request.decode_epoch : request.prefill_epoch, request.id,
            request.attempt);
    instance = SimRequest::kNobody;
  }
}

void ClusterSimulator::AbortOn(int instance, uint64_t epoch, RequestId id, uint32_t attempt) {
  queue_.After(options_.network_delay, [this, instance, epoch, id, attempt] {
    SimInstance& worker = *instances_[instance];
    if (!worker.alive() || worker.epoch() != epoch) return;
    worker.Do([&](InstanceScheduler& scheduler) {
      scheduler.Abort(id, attempt, queue_.now());
      scheduler.Fence(id, attempt, queue_.now());  // nothing is being written by now
    });
  });
}

void ClusterSimulator::End(SimRequest& request, Outcome outcome, const std::string& error) {
  RequestRecord& record = result_.records[request.index];
  record.outcome = outcome;
  record.error = error;
  FillRecord(request, queue_.now(), &record);
  if (outcome == Outcome::kServed) result_.stages.Add(StagesOf(request));
  AddToDigest(MixSeed(request.index, absl::ToInt64Nanoseconds(record.latency)));
  const RequestId id = request.id;
  queue_.After(options_.network_delay, [this, id] { router_.Complete(id); });
  GiveBack(request);
  index_of_.erase(id);
  requests_[request.index] = nullptr;
  is_over_ = ++num_ended_ == static_cast<int>(requests_.size());
  if (is_over_) result_.length = queue_.now() - absl::UnixEpoch();
  if (on_end_) on_end_(record);
}

void ClusterSimulator::TakeToken(SimRequest& request, int index) {
  if (index < request.num_received) return;  // drawn again
  last_progress_ = queue_.now();
  const absl::Time at = queue_.now() + options_.WorkerToClient();
  if (request.num_received++ == 0) {
    request.first_token = at;
  } else if (options_.keep_token_gaps) {
    request.token_gaps_ms.push_back(absl::ToDoubleMilliseconds(at - request.last_token));
  }
  request.last_token = at;
}

// --- Workers.

TokenId ClusterSimulator::DrawToken(const BatchRow& row) const {
  const int index = static_cast<int>(row.sampling->seed);
  const int position = static_cast<int>(row.tokens.size()) - row.num_prompt_tokens;
  if (position + 1 >= workload_->requests[index].output_tokens) return kSimEndToken;
  return SimOutputToken(options_.seed, index, position);
}

void ClusterSimulator::OnEvent(int instance, const Event& event) {
  const auto found = index_of_.find(event.id);
  if (found == index_of_.end()) return;
  SimRequest* request = Find(found->second, event.attempt);
  if (request == nullptr) return;
  if (instance == request->prefill) return OnPrefillEvent(*request, event);
  if (instance != request->decode) return;
  if (event.kind == EventKind::kReserved) return handoffs_->OnReserved(*request, event);
  if (event.kind == EventKind::kBegun && !HasHappened(request->begun)) {
    request->begun = queue_.now();
    request->num_cached_tokens = event.num_cached_tokens;
  } else if (event.kind == EventKind::kToken) {
    if (!HasHappened(request->first_drawn)) request->first_drawn = queue_.now();
    TakeToken(*request, event.index);
  } else if (IsTerminal(event.kind)) {
    OnEndEvent(*request, event);
  }
}

void ClusterSimulator::OnPrefillEvent(SimRequest& request, const Event& event) {
  if (event.kind == EventKind::kBegun) {
    if (!HasHappened(request.begun)) {
      request.begun = queue_.now();
      request.num_cached_tokens = event.num_cached_tokens;
    }
    handoffs_->OnBegun(request, event);
  } else if (event.kind == EventKind::kToken) {
    if (!HasHappened(request.first_drawn)) request.first_drawn = queue_.now();
    TakeToken(request, event.index);
    handoffs_->OnFirstToken(request, event.token.token);
  } else if (event.kind == EventKind::kFinished) {
    OnEndEvent(request, event);
  } else if (event.kind == EventKind::kLeaseExpired || event.kind == EventKind::kFailed) {
    if (absl::IsDeadlineExceeded(event.status)) return OnEndEvent(request, event);
    handoffs_->OnKvLost(request);
    on_instance_[request.prefill].erase(request.index);
    request.prefill = SimRequest::kNobody;
  }
}

void ClusterSimulator::OnEndEvent(SimRequest& request, const Event& event) {
  if (event.kind == EventKind::kFinished && event.reason != FinishReason::kAborted) {
    return End(request, Outcome::kServed, "");
  }
  End(request, Outcome::kFailed,
      event.status.ok() ? "aborted" : std::string(event.status.message()));
}

void ClusterSimulator::Kill(const SimFailure& failure) {
  const int dead = failure.instance;
  if (is_over_ || !instances_[dead]->alive()) return;
  instances_[dead]->Die();
  AddToDigest(dead);
  queue_.After(failure.down, [this, dead] {
    instances_[dead]->Restart();
    Beat(dead, instances_[dead]->epoch());
  });
  const std::set<int> lost = on_instance_[dead];
  for (const int index : lost) {
    SimRequest& request = *requests_[index];
    const bool has_first_token = request.num_received > 0;
    if (dead == request.decode || !has_first_token) {
      Lose(request, dead);
    } else {  // the decode instance goes on, with the KV if it has all of it
      handoffs_->OnKvLost(request);
      on_instance_[dead].erase(index);
      request.prefill = SimRequest::kNobody;
    }
  }
}

// --- Scheduler.

void ClusterSimulator::Beat(int instance, uint64_t epoch) {
  if (is_over_ || queue_.now() > last_progress_ + kStuck) return;
  if (!instances_[instance]->alive() || instances_[instance]->epoch() != epoch) return;
  const InstanceView view = instances_[instance]->View(InstanceId(absl::StrCat(instance)));
  router_.Update(view, queue_.now());
  const PrefixChanges changes = instances_[instance]->TakePrefixChanges();
  if (!changes.empty()) router_.UpdatePrefixes(view.id, changes);
  if (instance == 0) router_.Tick(queue_.now());
  queue_.After(options_.heartbeat, [this, instance, epoch] { Beat(instance, epoch); });
}

// --- Book-keeping.

SimRequest* ClusterSimulator::Find(int index, uint32_t attempt) const {
  SimRequest* request = requests_[index].get();
  if (request == nullptr) return nullptr;
  return attempt == SimRequest::kAnyAttempt || attempt == request->attempt ? request : nullptr;
}

bool ClusterSimulator::IsOn(const SimRequest& request, int instance) const {
  const uint64_t epoch = instance == request.prefill ? request.prefill_epoch : request.decode_epoch;
  return instances_[instance]->alive() && instances_[instance]->epoch() == epoch;
}

int ClusterSimulator::IndexOf(const InstanceId& id) const {
  int index = 0;
  CHECK(absl::SimpleAtoi(id.value(), &index));  // ViewOf made it
  return index;
}

void ClusterSimulator::AddToDigest(uint64_t value) {
  result_.digest = MixSeed(result_.digest, value ^ absl::ToUnixNanos(queue_.now()));
}

void ClusterSimulator::CheckEnd() {
  if (num_ended_ != static_cast<int>(requests_.size())) {
    result_.problems.push_back(
        absl::StrCat(requests_.size() - num_ended_, " requests never came to an end"));
  }
  for (size_t i = 0; i < instances_.size(); ++i) {
    const SimInstance& worker = *instances_[i];
    result_.instances.push_back(worker.Totals());
    result_.digest = MixSeed(result_.digest, worker.digest());
    if (const std::string problem = worker.Problem(); !problem.empty()) {
      result_.problems.push_back(absl::StrCat("instance ", i, ": ", problem));
    }
  }
  result_.num_events = queue_.num_run();
  result_.num_handoffs = handoffs_->num_handoffs();
  result_.num_recomputes = handoffs_->num_recomputes();
  result_.transferred_bytes = handoffs_->bytes_sent();
}

}  // namespace tandem
