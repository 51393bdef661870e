// A request on one instance: its tokens, the blocks that hold their KV, and how far it has come.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <tuple>
#include <vector>

#include "engine/core/batch.h"
#include "engine/core/request.h"
#include "scheduler/prefix_cache.h"

namespace tandem {

enum class SequenceState {
  kWaiting,     // to be prefilled here, or to go on; holds no blocks but those of the host tier
  kPrefilling,  // holds running blocks for all of its tokens
  kDecoding,    // holds running blocks; all KV but the last token's is stored
  kLeased,      // prefilled; its leased_out blocks wait to be pulled
  kExpected,    // its KV will come from another worker; holds no blocks
  kBegun,       // its KV is being computed there; waits for blocks here
  kReceiving,   // holds receiving blocks
};

// Owned by the InstanceScheduler; the schedulers under it hold pointers in their queues.
struct Sequence {
  // Its place among requests that wait.
  struct Turn {
    int64_t stamp = 0;   // see FairClock
    uint64_t order = 0;  // of arrival here
  };

  // It ends when it has `max_num_tokens` tokens, prompt included.
  Sequence(Request request, Turn turn, int max_num_tokens);

  int num_tokens() const { return static_cast<int>(tokens.size()); }
  int num_output_tokens() const { return num_tokens() - num_prompt_tokens; }
  int num_uncomputed_tokens() const { return num_tokens() - num_computed_tokens; }
  bool in_flight() const { return in_flight_step != 0; }

  // Some positions must be computed for their logprobs, although their KV may be known.
  bool NeedsPromptLogprobs() const {
    return request.sampling.num_prompt_logprobs >= 0 && next_prompt_logprob < num_prompt_tokens;
  }

  // Whether the last output token ends it: kStop, kLength or kNone.
  FinishReason CheckFinish() const;

  // Those of `logprobs` that were not sent before, which those of positions computed again were.
  std::vector<PromptLogprob> TakeUnsent(const std::vector<PromptLogprob>& logprobs);

  // The next `count` positions; draws a token if these are the last. Valid as BatchRow says.
  BatchRow MakeRow(int count) const;

  Request request;  // its prompt and generated tokens have moved to `tokens`
  const Turn turn;
  const int num_prompt_tokens;
  const int max_num_tokens;

  SequenceState state = SequenceState::kWaiting;
  std::vector<TokenId> tokens;  // prompt, then output
  std::vector<BlockId> block_table;
  PrefixChain chain;                    // of its blocks whose content is known
  int num_shared_blocks = 0;            // the first of block_table, which others may use as well
  std::vector<BlockId> host_table;      // while it waits: the same in the host tier, if preempted
  int num_computed_tokens = 0;          // positions whose KV is stored, in one of the two
  int next_prompt_logprob = 0;          // first prompt position whose logprob was not sent
  bool begun = false;                   // kBegun was sent
  std::optional<absl::Time> lease_end;  // absent: the usual time after the lease's beginning
  uint64_t in_flight_step = 0;          // batch that computes with it now; 0: none
};

// Lower priority classes first; in one class what is due first, then by turns of the tenants, then
// first come, first served. A preempted sequence keeps its place.
struct InOrder {
  bool operator()(const Sequence* a, const Sequence* b) const { return Key(*a) < Key(*b); }

 private:
  static std::tuple<int, absl::Time, int64_t, uint64_t> Key(const Sequence& sequence) {
    return {sequence.request.priority, sequence.request.due, sequence.turn.stamp,
            sequence.turn.order};
  }
};
using SequenceQueue = std::set<Sequence*, InOrder>;

}  // namespace tandem
