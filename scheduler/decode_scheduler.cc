#include "scheduler/decode_scheduler.h"

namespace tandem {

void DecodeScheduler::Admit(Sequence* sequence) {
  sequence->state = SequenceState::kDecoding;
  decoding_.insert(sequence);
}

void DecodeScheduler::Schedule(int depth, absl::FunctionRef<bool(Sequence*)> grow, Batch* batch) {
  size_t room = (decoding_.size() + depth - 1) / depth;
  for (auto it = decoding_.begin(); it != decoding_.end() && room > 0;) {
    Sequence* sequence = *it;
    if (!sequence->in_flight() && AddRow(sequence, grow, batch)) --room;
    it = decoding_.upper_bound(sequence);  // `it` itself may have been preempted
  }
}

int64_t DecodeScheduler::NumTokens() const {
  int64_t sum = 0;
  for (const Sequence* sequence : decoding_) sum += sequence->num_tokens();
  return sum;
}

bool DecodeScheduler::AddRow(Sequence* sequence, absl::FunctionRef<bool(Sequence*)> grow,
                             Batch* batch) const {
  const int num_held = static_cast<int>(sequence->block_table.size());
  if (blocks_.NumBlocks(sequence->num_tokens()) > num_held && !grow(sequence)) return false;
  batch->rows.push_back(sequence->MakeRow(1));
  return true;
}

}  // namespace tandem
