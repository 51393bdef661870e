// The steps that `tandem profile` times.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "scheduler/latency_model.h"

namespace tandem {

// One step: a chunk of a prompt, or rows that decode, or both.
struct StepPoint {
  int chunk_tokens = 0;
  int chunk_begin = 0;  // tokens stored before the chunk
  int num_rows = 0;
  int context = 0;  // tokens that each row's new one sees, itself included

  int NumTokens() const { return chunk_tokens + num_rows; }
  // Of its longest sequence.
  int MaxLength() const;
  // KV blocks that its sequences hold.
  int64_t NumBlocks(int block_size) const;
  StepShape Shape() const;
};

// Lists of lengths and counts, all positive but stored tokens, which may be 0.
struct StepGridOptions {
  std::vector<int> chunks;
  std::vector<int> stored;
  std::vector<int> batches;
  std::vector<int> contexts;
};

// Every chunk behind every number of stored tokens, every batch at every context, and a few steps
// of both kinds, which show what a mixed step costs.
std::vector<StepPoint> MakeStepGrid(const StepGridOptions& options);

// "1,16,64". INVALID_ARGUMENT names what is no number of at least `least`.
absl::StatusOr<std::vector<int>> ParseNumbers(absl::string_view text, int least);

}  // namespace tandem
