// Which prompts are computed next, and how much of each: first come, first served within a priority
// class, cut into chunks that fit the step's token budget (chunked prefill, Sarathi-Serve, OSDI
// 2024), and no more prompts in one step than keep the device busy (L_m, DistServe, OSDI
// 2024, 4.1).
#pragma once

#include "absl/functional/function_ref.h"
#include "engine/core/batch.h"
#include "scheduler/sequence.h"

namespace tandem {

// Holds pointers to sequences in kWaiting and kPrefilling. Owned by the InstanceScheduler.
class PrefillScheduler {
 public:
  // The sequence, which holds no blocks of the pool, waits to be computed from its first
  // uncomputed token.
  void Enqueue(Sequence* sequence);

  // Takes out a sequence that waits or is being prefilled.
  void Remove(Sequence* sequence);

  // What one step may compute.
  struct Budget {
    int max_tokens = 0;
    // So many keep the device busy. The first prompt may have more; what a further one has beyond
    // would only delay those before it.
    int saturating_tokens = 0;
  };

  // Adds chunks within the budget. `start` is asked for each waiting sequence whose
  // turn it is, in order, to give it the blocks of all its tokens; once it says no, only sequences
  // that have started go on.
  void Schedule(const Budget& budget, absl::FunctionRef<bool(Sequence*)> start, Batch* batch);

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
