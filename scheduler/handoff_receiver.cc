#include "scheduler/handoff_receiver.h"

#include <utility>

#include "engine/core/status_macros.h"

namespace tandem {
namespace {

// The blocks that KV is written into: those behind the shared ones.
absl::Span<const BlockId> Received(const Sequence& sequence) {
  return absl::MakeConstSpan(sequence.block_table).subspan(sequence.num_shared_blocks);
}

}  // namespace

void HandoffReceiver::Expect(Sequence* sequence) {
  sequence->state = SequenceState::kExpected;
  expected_.insert(sequence);
}

void HandoffReceiver::Begin(Sequence* sequence) {
  expected_.erase(sequence);
  sequence->state = SequenceState::kBegun;
  begun_.insert(sequence);
}

bool HandoffReceiver::Reserve(Sequence* sequence, int num_blocks,
                              absl::Span<const TokenId> shareable) {
  const std::optional<int> num_shared = blocks_.AllocateBehindPrefix(
      shareable, num_blocks, BlockState::kReceiving, &sequence->chain, &sequence->block_table);
  if (!num_shared) return false;
  sequence->num_shared_blocks = *num_shared;
  begun_.erase(sequence);
  sequence->state = SequenceState::kReceiving;
  receiving_.insert(sequence);
  return true;
}

absl::Status HandoffReceiver::Complete(Sequence* sequence) {
  receiving_.erase(sequence);
  return blocks_.Move(Received(*sequence), BlockState::kReceiving, BlockState::kRunning);
}

absl::Status HandoffReceiver::Remove(Sequence* sequence) {
  expected_.erase(sequence);
  begun_.erase(sequence);
  if (receiving_.erase(sequence) == 0) return absl::OkStatus();
  const std::vector<BlockId> table = std::exchange(sequence->block_table, {});
  const auto first_received = table.begin() + std::exchange(sequence->num_shared_blocks, 0);
  const std::vector<BlockId> shared(table.begin(), first_received);
  std::vector<BlockId> received(first_received, table.end());
  RETURN_IF_ERROR(blocks_.Move(shared, BlockState::kRunning, BlockState::kFree));
  RETURN_IF_ERROR(blocks_.Move(received, BlockState::kReceiving, BlockState::kQuarantined));
  quarantined_[{sequence->request.id, sequence->request.attempt}] = std::move(received);
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
