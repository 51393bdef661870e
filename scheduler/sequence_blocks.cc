#include "scheduler/sequence_blocks.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "engine/core/status_macros.h"

namespace tandem {

SequenceBlocks::SequenceBlocks(const InstanceOptions& options, BlockManager* blocks)
    : options_(options),
      blocks_(*blocks),
      host_(options.num_host_blocks),
      cost_(options.block_copy_time, options.depth) {}

int SequenceBlocks::NumToStart(const Sequence& sequence) const {
  const int num_blocks = blocks_.NumBlocks(sequence.num_tokens());
  if (sequence.request.hand_off) return num_blocks;
  return std::min(num_blocks + 1, blocks_.NumBlocks(sequence.max_num_tokens - 1));
}

absl::Span<const TokenId> SequenceBlocks::Shareable(const Sequence& sequence,
                                                    int num_tokens) const {
  return absl::MakeConstSpan(sequence.tokens).first(options_.prefix_caching ? num_tokens : 0);
}

bool SequenceBlocks::Take(Sequence* sequence) {
  sequence->chain = PrefixChain::Root(sequence->request.cache_salt);
  // The last token is always computed: what follows it is drawn from that.
  const int num_shareable =
      sequence->NeedsPromptLogprobs() ? sequence->num_computed_tokens : sequence->num_tokens() - 1;
  const std::optional<int> num_shared =
      blocks_.AllocateBehindPrefix(Shareable(*sequence, num_shareable), NumToStart(*sequence),
                                   BlockState::kRunning, &sequence->chain, &sequence->block_table);
  if (!num_shared) return false;
  sequence->num_shared_blocks = *num_shared;
  const int num_shared_tokens = *num_shared * options_.block_size;
  const int num_swapped =
      std::max(0, blocks_.NumBlocks(sequence->num_computed_tokens) - *num_shared);
  host_.SwapIn(absl::MakeConstSpan(sequence->block_table).subspan(*num_shared, num_swapped),
               &sequence->host_table, &copies_);
  sequence->num_computed_tokens = std::max(sequence->num_computed_tokens, num_shared_tokens);
  return true;
}

void SequenceBlocks::Publish(Sequence* sequence) {
  if (!options_.prefix_caching) return;
  blocks_.Publish(absl::MakeConstSpan(sequence->tokens).first(sequence->num_computed_tokens),
                  sequence->block_table, &sequence->chain);
}

absl::Status SequenceBlocks::Preempt(Sequence* sequence) {
  if (!SwapOut(sequence)) sequence->num_computed_tokens = 0;
  return FreeFromPool(sequence);
}

bool SequenceBlocks::SwapOut(Sequence* sequence) {
  const int num_computed = sequence->num_computed_tokens;
  const int num_blocks = blocks_.NumBlocks(num_computed);
  const auto blocks = absl::MakeConstSpan(sequence->block_table).first(num_blocks);
  // What others use as well will be found again.
  const int num_shared = blocks_.NumShared(blocks);
  return num_computed > 0 &&
         cost_.PrefersCopies(num_blocks + num_blocks - num_shared,
                             num_computed - num_shared * options_.block_size) &&
         host_.SwapOut(blocks, &sequence->host_table, &copies_);
}

absl::Status SequenceBlocks::Free(Sequence* sequence) {
  host_.Free(&sequence->host_table);
  return FreeFromPool(sequence);
}

absl::Status SequenceBlocks::FreeFromPool(Sequence* sequence) {
  const BlockState from =
      sequence->state == SequenceState::kLeased ? BlockState::kLeasedOut : BlockState::kRunning;
  const std::vector<BlockId> blocks = std::exchange(sequence->block_table, {});
  sequence->num_shared_blocks = 0;
  return blocks_.Move(blocks, from, BlockState::kFree);
}

std::vector<BlockCopy> SequenceBlocks::TakeCopies() { return std::exchange(copies_, {}); }

absl::Status SequenceBlocks::CheckLedgers() const {
  RETURN_IF_ERROR(host_.CheckLedger());
  return blocks_.CheckLedger();
}

}  // namespace tandem
