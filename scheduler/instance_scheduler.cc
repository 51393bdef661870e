#include "scheduler/instance_scheduler.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/core/log.h"
#include "engine/core/status_macros.h"

namespace tandem {

namespace {

// What a request costs its tenant as it arrives. The prompt of a replay was counted before.
int NumTokensToPay(const Request& request) {
  return request.attempt > 0 ? 0 : static_cast<int>(request.prompt.size());
}

}  // namespace

absl::StatusOr<std::unique_ptr<InstanceScheduler>> InstanceScheduler::Create(
    const InstanceOptions& options) {
  RETURN_IF_ERROR(options.Validate());
  return std::unique_ptr<InstanceScheduler>(new InstanceScheduler(options));
}

InstanceScheduler::InstanceScheduler(const InstanceOptions& options)
    : options_(options),
      blocks_(options.num_blocks, options.block_size),
      sequence_blocks_(options_, &blocks_),
      decode_(blocks_),
      receiver_(&blocks_) {}

// --- Requests in.

absl::Status InstanceScheduler::Add(Request request, absl::Time now) {
  return Accept(std::move(request), SequenceState::kWaiting);
}

absl::Status InstanceScheduler::Expect(Request request, absl::Time now) {
  request.hand_off = false;
  return Accept(std::move(request), SequenceState::kExpected);
}

absl::Status InstanceScheduler::CheckRequest(const Request& request) const {
  const auto known = sequences_.find(request.id);
  if ((known != sequences_.end() && known->second->request.attempt >= request.attempt) ||
      receiver_.IsQuarantined(request.id, request.attempt)) {
    return absl::AlreadyExistsError(
        absl::StrCat("request ", request.id.value(), " attempt ", request.attempt, " is here"));
  }
  RETURN_IF_ERROR(options_.CheckFits(request));
  if (prefill_.num_waiting() + receiver_.num_expected() >= options_.max_queued_requests) {
    return absl::ResourceExhaustedError(
        absl::StrCat("queue is full: max_queued_requests is ", options_.max_queued_requests));
  }
  return absl::OkStatus();
}

absl::Status InstanceScheduler::Accept(Request request, SequenceState state) {
  if (absl::Status status = CheckRequest(request); !status.ok()) {
    ++totals_.refused_requests;
    return status;
  }
  if (const auto earlier = sequences_.find(request.id); earlier != sequences_.end()) {
    Finish(earlier->second.get(), FinishReason::kAborted);
  }
  const int limit = options_.LengthLimit(request);
  const Sequence::Turn turn{.stamp = fair_clock_.Arrive(request.tenant, NumTokensToPay(request)),
                            .order = next_order_++};
  auto owned = std::make_unique<Sequence>(std::move(request), turn, limit);
  Sequence* sequence = owned.get();
  sequences_[sequence->request.id] = std::move(owned);
  if (state == SequenceState::kWaiting) {
    prefill_.Enqueue(sequence);
  } else {
    receiver_.Expect(sequence);
  }
  // A replay may have been cut off between its last token and the news of its end. One that goes on
  // was begun in an earlier attempt, so its deadline is met.
  if (const FinishReason reason = sequence->CheckFinish(); reason != FinishReason::kNone) {
    Finish(sequence, reason);
  } else if (sequence->num_output_tokens() == 0 &&
             sequence->request.deadline != absl::InfiniteFuture()) {
    deadlines_.Set(sequence->request.id, sequence->request.deadline);
  }
  ReserveForBegun();
  return absl::OkStatus();
}

Sequence* InstanceScheduler::Find(RequestId id, uint32_t attempt) const {
  const auto found = sequences_.find(id);
  if (found == sequences_.end() || found->second->request.attempt != attempt) return nullptr;
  return found->second.get();
}

void InstanceScheduler::Abort(RequestId id, uint32_t attempt, absl::Time now) {
  Sequence* sequence = Find(id, attempt);
  if (sequence == nullptr) return;
  Finish(sequence, FinishReason::kAborted);
  ReserveForBegun();
}

// --- Blocks.

bool InstanceScheduler::HasSlot() const {
  return prefill_.num_prefilling() + decode_.size() + receiver_.num_receiving() <
         options_.max_num_seqs;
}

bool InstanceScheduler::Start(Sequence* sequence) {
  ReserveForBegun();
  const Sequence* begun = receiver_.NextBegun();
  if (begun != nullptr && InOrder()(begun, sequence)) return false;
  if (!HasSlot() || !sequence_blocks_.Take(sequence)) return false;
  deadlines_.Clear(sequence->request.id);
  if (!std::exchange(sequence->begun, true)) {
    Event& event = Emit(EventKind::kBegun, *sequence);
    event.num_tokens = sequence->num_tokens();
    event.block_table = sequence->block_table;
    event.num_cached_tokens = sequence->num_computed_tokens;
    CountBegun(*sequence, event);
  }
  return true;
}

void InstanceScheduler::CountBegun(const Sequence& sequence, const Event& event) {
  fair_clock_.Begin(sequence.turn.stamp);
  totals_.prefix_queried_tokens += event.num_tokens;
  totals_.prefix_hit_tokens += event.num_cached_tokens;
}

bool InstanceScheduler::Grow(Sequence* sequence) {
  while (!blocks_.Allocate(1, BlockState::kRunning, &sequence->block_table)) {
    Sequence* victim = decode_.LastPreemptible();
    Sequence* prefilling = prefill_.LastPreemptible();
    if (prefilling != nullptr && InOrder()(victim, prefilling)) victim = prefilling;
    if (victim->in_flight()) return false;  // its batch comes back before this one is asked again
    Preempt(victim);
    if (victim == sequence) return false;
  }
  return true;
}

void InstanceScheduler::Preempt(Sequence* sequence) {
  suspects_.erase(sequence);
  CountBreach(sequence_blocks_.Preempt(sequence));
  if (sequence->state == SequenceState::kDecoding) {
    decode_.Remove(sequence);
  } else {
    prefill_.Remove(sequence);
  }
  ++totals_.preemptions;
  totals_.swaps += sequence->host_table.empty() ? 0 : 1;
  Emit(EventKind::kPreempted, *sequence);
  prefill_.Enqueue(sequence);
}

// --- Steps.

Batch InstanceScheduler::Schedule(absl::Time now) {
  Tick(now);
  Batch batch;
  if (in_flight_.size() >= options_.depth) return batch;
  ScheduleSuspect(&batch);
  if (batch.empty()) {
    decode_.Schedule(
        options_.depth, [this](Sequence* sequence) { return Grow(sequence); }, &batch);
    // A long chunk would hold up every stream, and more than what keeps the device busy gains
    // nothing.
    const int most = batch.empty() ? options_.max_num_batched_tokens
                                   : std::min(options_.max_num_batched_tokens - batch.NumTokens(),
                                              options_.prefill_batch_tokens);
    prefill_.Schedule(
        {.max_tokens = most, .saturating_tokens = options_.prefill_batch_tokens},
        [this](Sequence* sequence) { return Start(sequence); }, &batch);
  }
  ReserveForBegun();
  batch.copies = sequence_blocks_.TakeCopies();
  CountCopies(batch.copies);
  if (batch.empty()) return batch;

  batch.step = ++last_step_;
  std::vector<Sequence*> sequences;
  for (const BatchRow& row : batch.rows) sequences.push_back(sequences_.at(row.request).get());
  in_flight_.Add(batch.step, now, sequences);
  return batch;
}

void InstanceScheduler::CountCopies(const std::vector<BlockCopy>& copies) {
  for (const BlockCopy& copy : copies) {
    ++(copy.direction == CopyDirection::kOut ? totals_.swapped_out_blocks
                                             : totals_.swapped_in_blocks);
  }
}

void InstanceScheduler::ScheduleSuspect(Batch* batch) {
  const SequenceQueue suspects = suspects_;  // growing one may preempt others
  for (Sequence* sequence : suspects) {
    if (sequence->in_flight() || !suspects_.contains(sequence)) continue;
    if (sequence->state == SequenceState::kPrefilling) {
      PrefillScheduler::AddChunk(*sequence, options_.max_num_batched_tokens, batch);
    } else {
      decode_.AddRow(
          sequence, [this](Sequence* s) { return Grow(s); }, batch);
    }
    if (!batch->empty()) return;
  }
}

std::vector<Event> InstanceScheduler::Commit(const Batch& batch, const StepOutput& output,
                                             absl::Time now) {
  if (absl::Status status = CheckOutput(batch, output); !status.ok()) {
    return Fail(batch, status, now);
  }
  sequence_blocks_.ObserveStep(batch, now - in_flight_.Begin(batch));
  const std::vector<Sequence*> sequences = TakeInFlight(batch);
  ++totals_.steps;
  for (size_t i = 0; i < sequences.size(); ++i) {
    if (sequences[i] == nullptr) continue;
    suspects_.erase(sequences[i]);
    CommitRow(sequences[i], batch.rows[i], output.rows[i], now);
  }
  CountBreach(sequence_blocks_.CheckLedgers());
  ReserveForBegun();
  return TakeEvents();
}

std::vector<Event> InstanceScheduler::Fail(const Batch& batch, const absl::Status& status,
                                           absl::Time now) {
  const std::vector<Sequence*> sequences = TakeInFlight(batch);
  ++totals_.failed_steps;
  for (Sequence* sequence : sequences) {
    if (sequence == nullptr) continue;
    if (sequences.size() == 1 && suspects_.contains(sequence)) {
      FailSequence(sequence, status);
    } else {
      suspects_.insert(sequence);
    }
  }
  ReserveForBegun();
  return TakeEvents();
}

std::vector<Sequence*> InstanceScheduler::TakeInFlight(const Batch& batch) {
  std::vector<Sequence*> alive;
  for (InFlightBatches::Row& row : in_flight_.Take(batch)) {
    alive.push_back(row.ended == nullptr ? row.sequence : nullptr);
    if (row.ended != nullptr) CountBreach(sequence_blocks_.Free(row.ended.get()));
  }
  return alive;
}

void InstanceScheduler::CommitRow(Sequence* sequence, const BatchRow& row, const RowOutput& output,
                                  absl::Time now) {
  if (absl::Status status = blocks_.CheckState(sequence->block_table, BlockState::kRunning);
      !status.ok()) {
    CountBreach(status);
    sequence->block_table.clear();  // whose blocks these are is not known any more
    return FailSequence(sequence, status);
  }
  if (!output.status.ok()) return FailSequence(sequence, output.status);
  sequence->num_computed_tokens += row.num_tokens;
  sequence_blocks_.Publish(sequence);
  if (sequence->state == SequenceState::kPrefilling) totals_.prompt_tokens += row.num_tokens;
  std::vector<PromptLogprob> unsent = sequence->TakeUnsent(output.prompt_logprobs);
  if (!unsent.empty()) {
    Emit(EventKind::kPromptLogprobs, *sequence).prompt_logprobs = std::move(unsent);
  }
  if (row.sample) CommitToken(sequence, output.tokens.front(), now);
}

void InstanceScheduler::CommitToken(Sequence* sequence, const SampledToken& token, absl::Time now) {
  ++totals_.generated_tokens;
  fair_clock_.Serve(sequence->request.tenant);
  Event& event = Emit(EventKind::kToken, *sequence);
  event.token = token;
  event.index = sequence->num_output_tokens();
  sequence->tokens.push_back(token.token);

  if (const FinishReason reason = sequence->CheckFinish(); reason != FinishReason::kNone) {
    return Finish(sequence, reason);
  }
  if (sequence->state == SequenceState::kDecoding) return;
  prefill_.Remove(sequence);
  if (sequence->request.hand_off) {
    Lease(sequence, now);
  } else {
    decode_.Admit(sequence);
  }
}

void InstanceScheduler::Tick(absl::Time now) {
  for (RequestId id : leases_.TakeExpired(now)) {
    Sequence* sequence = sequences_.at(id).get();
    ++totals_.expired_leases;
    Emit(EventKind::kLeaseExpired, *sequence);
    Remove(sequence);
  }
  for (RequestId id : deadlines_.TakeExpired(now)) {
    FailSequence(sequences_.at(id).get(),
                 absl::DeadlineExceededError("the deadline passed before the request began"));
  }
  ReserveForBegun();
}

absl::Time InstanceScheduler::NextTick() const {
  return std::min(leases_.Next(), deadlines_.Next());
}

// --- Ends.

std::vector<Event> InstanceScheduler::TakeEvents() { return std::exchange(events_, {}); }

Event& InstanceScheduler::Emit(EventKind kind, const Sequence& sequence) {
  Event& event = events_.emplace_back();
  event.kind = kind;
  event.id = sequence.request.id;
  event.attempt = sequence.request.attempt;
  return event;
}

void InstanceScheduler::Finish(Sequence* sequence, FinishReason reason) {
  ++(reason == FinishReason::kAborted ? totals_.aborted_requests : totals_.finished_requests);
  Event& event = Emit(EventKind::kFinished, *sequence);
  event.reason = reason;
  if (reason == FinishReason::kStop) event.stop_token = sequence->tokens.back();
  Remove(sequence);
}

void InstanceScheduler::FailSequence(Sequence* sequence, absl::Status status) {
  ++totals_.failed_requests;
  Emit(EventKind::kFailed, *sequence).status = std::move(status);
  Remove(sequence);
}

void InstanceScheduler::Remove(Sequence* sequence) {
  const RequestId id = sequence->request.id;
  leases_.Clear(id);
  deadlines_.Clear(id);
  suspects_.erase(sequence);
  const auto found = sequences_.find(id);
  std::unique_ptr<Sequence> owned = std::move(found->second);
  sequences_.erase(found);

  switch (sequence->state) {
    case SequenceState::kWaiting:
    case SequenceState::kPrefilling:
      prefill_.Remove(sequence);
      break;
    case SequenceState::kDecoding:
      decode_.Remove(sequence);
      break;
    case SequenceState::kExpected:
    case SequenceState::kBegun:
    case SequenceState::kReceiving:
      return CountBreach(receiver_.Remove(sequence));
    case SequenceState::kLeased:
      break;
  }
  if (!sequence->in_flight()) return CountBreach(sequence_blocks_.Free(sequence));
  in_flight_.Keep(std::move(owned));
}

void InstanceScheduler::CountBreach(const absl::Status& status) {
  if (status.ok()) return;
  if (totals_.ledger_breaches++ == 0) LOG(ERROR) << "KV ledger is broken: " << status;
#ifdef TANDEM_DEBUG
  CHECK_OK(status);
#endif
}

SchedulerStats InstanceScheduler::Stats() const {
  SchedulerStats stats = totals_;
  stats.blocks = blocks_.counts();
  stats.num_blocks = blocks_.num_blocks();
  stats.host_blocks = sequence_blocks_.host().counts();
  stats.waiting_requests = prefill_.num_waiting();
  stats.waiting_tokens = prefill_.NumQueuedTokens();
  stats.prefilling_requests = prefill_.num_prefilling();
  stats.decoding_requests = decode_.size();
  stats.decoding_tokens = decode_.NumTokens();
  stats.expected_requests = receiver_.num_expected();
  stats.receiving_requests = receiver_.num_receiving();
  stats.leased_requests = leases_.size();
  return stats;
}

std::vector<UnfinishedRequest> InstanceScheduler::Unfinished() const {
  SequenceQueue sequences;
  for (const auto& [id, sequence] : sequences_) {
    if (sequence->state != SequenceState::kLeased) sequences.insert(sequence.get());
  }
  std::vector<UnfinishedRequest> unfinished;
  int64_t num_tokens_before = 0;
  for (const Sequence* sequence : sequences) {
    const bool prefills =
        sequence->state == SequenceState::kWaiting || sequence->state == SequenceState::kPrefilling;
    if (prefills) num_tokens_before += sequence->num_uncomputed_tokens();
    unfinished.push_back(
        {.id = sequence->request.id,
         .attempt = sequence->request.attempt,
         .num_tokens_before = prefills ? num_tokens_before : 0,
         .num_tokens_to_draw =
             sequence->request.hand_off ? 1 : sequence->max_num_tokens - sequence->num_tokens()});
  }
  return unfinished;
}

}  // namespace tandem
