// Which sequences draw their next token: every one whose KV is here, in every step (continuous
// batching, Orca, OSDI 2022), or in every round of steps through a pipeline.
#pragma once

#include "absl/functional/function_ref.h"
#include "engine/core/batch.h"
#include "scheduler/block_manager.h"
#include "scheduler/sequence.h"

namespace tandem {

// Holds pointers to sequences in kDecoding. Owned by the InstanceScheduler.
class DecodeScheduler {
 public:
  explicit DecodeScheduler(const BlockManager& blocks) : blocks_(blocks) {}

  // The KV of all tokens but the last is stored in the sequence's running blocks.
  void Admit(Sequence* sequence);
  void Remove(Sequence* sequence) { decoding_.erase(sequence); }

  // Adds rows for sequences that no other batch computes with, in order: all of them, or, so that
  // each of `depth` batches in flight has its share, that part of all that decode. Where the next
  // position lies beyond the sequence's blocks, `grow` is asked for one more. It may preempt
  // (Remove) that sequence or later ones; where it says no, the sequence gets no row this time.
  void Schedule(int depth, absl::FunctionRef<bool(Sequence*)> grow, Batch* batch);

  // The same for one sequence; false when it gets no row.
  bool AddRow(Sequence* sequence, absl::FunctionRef<bool(Sequence*)> grow, Batch* batch) const;

  // The last in order, or null: the first to lose its blocks.
  Sequence* LastPreemptible() const { return decoding_.empty() ? nullptr : *decoding_.rbegin(); }

  int size() const { return static_cast<int>(decoding_.size()); }
  int64_t NumTokens() const;  // of all of them, prompts and outputs so far

 private:
  const BlockManager& blocks_;
  SequenceQueue decoding_;
};

}  // namespace tandem
