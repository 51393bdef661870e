// What Forward() is told about one step: the tokens of all its sequences side by side. Plain data,
// made by the runner from a Batch.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/core/ids.h"
#include "engine/kernels/ops.h"

namespace tandem {

// A "row" is one token at one position of one sequence, and one row of every activation.
struct StepInput {
  std::vector<TokenId> token_ids;       // [num_rows]
  std::vector<int> positions;           // [num_rows] in the row's own sequence
  std::vector<int64_t> slots;           // [num_rows] where K and V go: block * block_size + offset
  std::vector<AttentionRow> sequences;  // which rows belong together, and their blocks
  std::vector<int> logit_rows;          // rows whose logits are wanted, ascending

  int64_t NumRows() const { return static_cast<int64_t>(token_ids.size()); }
};

}  // namespace tandem
