// The handoff of a prompt's KV, as the scheduler of either side sees it.
#include <utility>

#include "scheduler/instance_scheduler.h"

namespace tandem {

// --- Decode worker.

void InstanceScheduler::Begun(RequestId id, uint32_t attempt, absl::Time now) {
  Sequence* sequence = Find(id, attempt);
  if (sequence == nullptr || sequence->state != SequenceState::kExpected) return;
  deadlines_.Clear(id);
  receiver_.Begin(sequence);
  ReserveForBegun();
}

void InstanceScheduler::Offer(const KvHandoff& handoff, absl::Time now) {
  Sequence* sequence = Find(handoff.id, handoff.attempt);
  if (sequence == nullptr || sequence->state != SequenceState::kReceiving) return;
  if (absl::Status status = receiver_.Complete(sequence); !status.ok()) {
    CountBreach(status);
    return FailSequence(sequence, status);
  }
  sequence->num_computed_tokens = sequence->num_tokens();
  sequence_blocks_.Publish(sequence);
  sequence->next_prompt_logprob = sequence->num_prompt_tokens;  // sent by the other worker
  sequence->tokens.push_back(handoff.first_token);
  decode_.Admit(sequence);
  if (const FinishReason reason = sequence->CheckFinish(); reason != FinishReason::kNone) {
    Finish(sequence, reason);
  }
  ReserveForBegun();
}

void InstanceScheduler::Recompute(RequestId id, uint32_t attempt, absl::Time now) {
  Sequence* sequence = Find(id, attempt);
  if (sequence == nullptr ||
      (sequence->state != SequenceState::kExpected && sequence->state != SequenceState::kBegun &&
       sequence->state != SequenceState::kReceiving)) {
    return;
  }
  ++totals_.recomputes;
  if (absl::Status status = receiver_.Remove(sequence); !status.ok()) {
    CountBreach(status);
    return FailSequence(sequence, status);
  }
  prefill_.Enqueue(sequence);
  ReserveForBegun();
}

void InstanceScheduler::Fence(RequestId id, uint32_t attempt, absl::Time now) {
  CountBreach(receiver_.Fence(id, attempt));
  ReserveForBegun();
}

void InstanceScheduler::ReserveForBegun() {
  while (Sequence* begun = receiver_.NextBegun()) {
    const Sequence* waiting = prefill_.NextWaiting();
    if (waiting != nullptr && InOrder()(waiting, begun)) return;
    begun->chain = PrefixChain::Root(begun->request.cache_salt);
    if (!HasSlot() || !receiver_.Reserve(begun, sequence_blocks_.NumToStart(*begun),
                                         sequence_blocks_.Shareable(*begun, begun->num_tokens()))) {
      return;
    }
    Event& event = Emit(EventKind::kReserved, *begun);
    event.num_tokens = begun->num_tokens();
    event.block_table = begun->block_table;
    event.num_cached_tokens = begun->num_shared_blocks * options_.block_size;
    CountBegun(*begun, event);
  }
}

// --- Prefill worker.

void InstanceScheduler::Lease(Sequence* sequence, absl::Time now) {
  sequence->state = SequenceState::kLeased;
  if (absl::Status status =
          blocks_.Move(sequence->block_table, BlockState::kRunning, BlockState::kLeasedOut);
      !status.ok()) {
    CountBreach(status);
    sequence->block_table.clear();
    return FailSequence(sequence, status);
  }
  leases_.Set(sequence->request.id, sequence->lease_end.value_or(now + options_.lease));
}

void InstanceScheduler::SetLease(RequestId id, uint32_t attempt, absl::Time end) {
  Sequence* sequence = Find(id, attempt);
  if (sequence == nullptr || !sequence->request.hand_off) return;
  sequence->lease_end = end;
  if (sequence->state == SequenceState::kLeased) leases_.Set(id, end);
}

void InstanceScheduler::Release(RequestId id, uint32_t attempt, absl::Time now) {
  Sequence* sequence = Find(id, attempt);
  if (sequence == nullptr || sequence->state != SequenceState::kLeased) return;
  ++totals_.handed_off_requests;
  Emit(EventKind::kHandedOff, *sequence);
  Remove(sequence);
  ReserveForBegun();
}

}  // namespace tandem
