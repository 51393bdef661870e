// Which prompts are computed next, and how much of each: first come, first served within a priority
// class, cut into chunks that fit the step's token budget (chunked prefill, Sarathi-Serve, OSDI
// 2024).
#pragma once

#include "absl/functional/function_ref.h"
#include "engine/core/batch.h"
#include "scheduler/sequence.h"

namespace tandem {

// Holds pointers to sequences in kWaiting and kPrefilling. Owned by the InstanceScheduler.
class PrefillScheduler {
 public:
  // The sequence, which holds no blocks, waits to be computed from its first token.
  void Enqueue(Sequence* sequence);

  // Takes out a sequence that waits or is being prefilled.
  void Remove(Sequence* sequence);

  // Adds chunks of at most `budget` tokens in all. `start` is asked for each waiting sequence whose
  // turn it is, in order, to give it the blocks of all its tokens; once it says no, only sequences
  // that have started go on.
  void Schedule(int budget, absl::FunctionRef<bool(Sequence*)> start, Batch* batch);

  // Adds the next chunk of one sequence that has started; returns its tokens, at most `budget`.
  static int AddChunk(const Sequence& sequence, int budget, Batch* batch);

  // The next to start, or null.
  Sequence* NextWaiting() const { return waiting_.empty() ? nullptr : *waiting_.begin(); }

  // The last in order that has started and may be preempted, or null. One that is handed off may
  // not: its KV is being sent from its blocks.
  Sequence* LastPreemptible() const;

  int num_waiting() const { return static_cast<int>(waiting_.size()); }
  int num_prefilling() const { return static_cast<int>(prefilling_.size()); }

  // Tokens still to be computed, of waiting and started sequences.
  int64_t NumQueuedTokens() const;

 private:
  SequenceQueue waiting_;
  SequenceQueue prefilling_;
};

}  // namespace tandem
