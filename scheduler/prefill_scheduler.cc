#include "scheduler/prefill_scheduler.h"

#include <algorithm>

namespace tandem {

void PrefillScheduler::Enqueue(Sequence* sequence) {
  sequence->state = SequenceState::kWaiting;
  waiting_.insert(sequence);
}

void PrefillScheduler::Remove(Sequence* sequence) {
  if (sequence->state == SequenceState::kWaiting) {
    waiting_.erase(sequence);
  } else {
    prefilling_.erase(sequence);
  }
}

void PrefillScheduler::Schedule(const Budget& budget, absl::FunctionRef<bool(Sequence*)> start,
                                Batch* batch) {
  int num_tokens = 0;
  bool may_start = true;
  auto next = prefilling_.begin();
  const int shared = std::min(budget.max_tokens, budget.saturating_tokens);
  while (num_tokens < (num_tokens == 0 ? budget.max_tokens : shared)) {
    const int num_left = num_tokens == 0 ? budget.max_tokens : shared - num_tokens;
    while (next != prefilling_.end() && (*next)->in_flight()) ++next;
    Sequence* running = next == prefilling_.end() ? nullptr : *next;
    Sequence* waiting = may_start ? NextWaiting() : nullptr;
    if (running == nullptr && waiting == nullptr) return;

    if (waiting == nullptr || (running != nullptr && InOrder()(running, waiting))) {
      num_tokens += AddChunk(*running, num_left, batch);
      ++next;
    } else if (start(waiting)) {
      waiting_.erase(waiting);
      waiting->state = SequenceState::kPrefilling;
      prefilling_.insert(waiting);  // stands before `next`, so it is not met again
      num_tokens += AddChunk(*waiting, num_left, batch);
    } else {
      may_start = false;
    }
  }
}

int PrefillScheduler::AddChunk(const Sequence& sequence, int budget, Batch* batch) {
  const int count = std::min(budget, sequence.num_uncomputed_tokens());
  batch->rows.push_back(sequence.MakeRow(count));
  return count;
}

Sequence* PrefillScheduler::LastPreemptible() const {
  const auto last = std::find_if(prefilling_.rbegin(), prefilling_.rend(),
                                 [](const Sequence* s) { return !s->request.hand_off; });
  return last == prefilling_.rend() ? nullptr : *last;
}

int64_t PrefillScheduler::NumQueuedTokens() const {
  int64_t sum = 0;
  for (const Sequence* sequence : waiting_) sum += sequence->num_uncomputed_tokens();
  for (const Sequence* sequence : prefilling_) sum += sequence->num_uncomputed_tokens();
  return sum;
}

}  // namespace tandem
