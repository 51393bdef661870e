// One step of one instance: what a scheduler asks for and what a runner answers. Plain data.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "engine/core/ids.h"
#include "engine/core/sampling_params.h"

namespace tandem {

// A sequence with the range of positions to compute in this step. The spans point into the
// scheduler's sequence, which neither changes nor goes away until the batch is committed or failed.
struct BatchRow {
  RequestId request;
  absl::Span<const TokenId> tokens;  // the sequence so far: prompt, then output; position = index
  int num_prompt_tokens = 0;         // of `tokens`; the rest is output (for penalties)
  int begin = 0;                     // first position to compute; KV of all before it is stored
  int num_tokens = 0;                // positions to compute: 1 in decode, a chunk in prefill
  absl::Span<const BlockId> block_table;  // covers positions [0, begin + num_tokens)
  bool sample = false;                    // draw a token after the last position
  const SamplingParams* sampling = nullptr;
  uint32_t layer_plan = 0;  // LayerPlan id; 0: all layers
};

// Between a block of the KV pool and one of the host tier, in all layers.
enum class CopyDirection : uint8_t { kOut, kIn };
struct BlockCopy {
  CopyDirection direction = CopyDirection::kOut;  // kOut: from the pool
  BlockId block = 0;
  BlockId host_block = 0;
};

struct Batch {
  uint64_t step = 0;  // counts up per instance
  std::vector<BatchRow> rows;
  // To be done in this order, also where there are no rows: before the rows are computed, and
  // before anything else is written to blocks that have become free.
  std::vector<BlockCopy> copies;

  bool empty() const { return rows.empty(); }
  int NumTokens() const {
    int sum = 0;
    for (const BatchRow& row : rows) sum += row.num_tokens;
    return sum;
  }
};

struct TokenLogprob {
  TokenId token = 0;
  float logprob =
      0;  // natural logarithm, of the model's distribution before temperature and filters
};

struct SampledToken {
  TokenId token = 0;
  float logprob = 0;              // filled when num_logprobs >= 0
  std::vector<TokenLogprob> top;  // num_logprobs best, best first
};

// Log-probability of prompt token `position` given what stands before it, with the best
// alternatives.
struct PromptLogprob {
  int position = 0;
  SampledToken token;
};

struct RowOutput {
  RequestId request;
  // Not OK: this row alone failed (its numbers are not finite, or it was malformed) and has no
  // tokens; the other rows of the step are as they should be.
  absl::Status status;
  std::vector<SampledToken>
      tokens;  // 0..k new tokens; empty for a chunk that does not end the prompt
  std::vector<PromptLogprob> prompt_logprobs;  // positions of this chunk, where asked for
};

struct StepOutput {
  std::vector<RowOutput> rows;  // in the order of the batch
};

}  // namespace tandem
