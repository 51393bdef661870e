// Turns a scheduler's Batch into the input of Forward(), and says what each wanted row of logits is
// for.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "engine/core/batch.h"
#include "engine/model/step_input.h"

namespace tandem {

// What a row must stay within.
struct StepLimits {
  int vocab_size = 0;
  int max_model_len = 0;  // tokens of one sequence
  int num_blocks = 0;     // of the KV pool
  int block_size = 0;     // tokens
};

// Logits after `position` of batch row `row`: to draw the next token where `sample`, else to score
// the prompt token that follows.
struct LogitUse {
  int row = 0;
  int position = 0;
  bool sample = false;
};

struct Step {
  StepInput input;
  std::vector<LogitUse> logit_uses;  // one per input.logit_rows, in that order
};

// INVALID_ARGUMENT, naming the request, for a row that may not be computed: ids outside the
// vocabulary or the pool, positions out of range or without a block, sampling in mid-sequence.
absl::Status CheckRow(const BatchRow& row, const StepLimits& limits);

// Adds batch row `index`, which passed CheckRow. Its block table must outlive the step.
void AppendRow(const BatchRow& row, int index, const StepLimits& limits, Step& step);

}  // namespace tandem
