#include "scheduler/handoff_receiver.h"

#include "engine/core/status_macros.h"

namespace tandem {

void HandoffReceiver::Expect(Sequence* sequence) {
  sequence->state = SequenceState::kExpected;
  expected_.insert(sequence);
}

void HandoffReceiver::Begin(Sequence* sequence) {
  expected_.erase(sequence);
  sequence->state = SequenceState::kBegun;
  begun_.insert(sequence);
}

bool HandoffReceiver::Reserve(Sequence* sequence, int num_blocks) {
  if (!blocks_.Allocate(num_blocks, BlockState::kReceiving, &sequence->block_table)) return false;
  begun_.erase(sequence);
  sequence->state = SequenceState::kReceiving;
  receiving_.insert(sequence);
  return true;
}

absl::Status HandoffReceiver::Complete(Sequence* sequence) {
  receiving_.erase(sequence);
  return blocks_.Move(sequence->block_table, BlockState::kReceiving, BlockState::kRunning);
}

absl::Status HandoffReceiver::Remove(Sequence* sequence) {
  expected_.erase(sequence);
  begun_.erase(sequence);
  if (receiving_.erase(sequence) == 0) return absl::OkStatus();
  RETURN_IF_ERROR(
      blocks_.Move(sequence->block_table, BlockState::kReceiving, BlockState::kQuarantined));
  quarantined_[{sequence->request.id, sequence->request.attempt}] =
      std::move(sequence->block_table);
  sequence->block_table.clear();
  return absl::OkStatus();
}

absl::Status HandoffReceiver::Fence(RequestId id, uint32_t attempt) {
  const auto found = quarantined_.find({id, attempt});
  if (found == quarantined_.end()) return absl::OkStatus();
  const std::vector<BlockId> blocks = std::move(found->second);
  quarantined_.erase(found);
  return blocks_.Move(blocks, BlockState::kQuarantined, BlockState::kFree);
}

}  // namespace tandem
