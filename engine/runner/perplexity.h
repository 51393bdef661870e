// How well a model predicts a text: the measure by which faster arithmetic is judged.
//
// The text's tokens are cut into consecutive windows, each a sequence of its own without any
// special tokens; tokens 1.. of each window are scored. A text shorter than a window is one window;
// otherwise the last, incomplete one is left out.
#pragma once

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/core/ids.h"
#include "engine/runner/model_runner.h"

namespace tandem {

struct Perplexity {
  int64_t num_tokens = 0;  // scored
  double total_nll = 0;    // sum of their negative log-likelihoods, in nats
  // The same over the second half of each window, whose tokens see at least half a window.
  int64_t num_late_tokens = 0;
  double late_nll = 0;

  double Value() const;      // exp(mean nll)
  double LateValue() const;  // of the second halves
};

// `window` is at most the runner's max_model_len and what its KV pool holds; the pool's contents
// are overwritten. `progress` is told how many of all windows are done. INVALID_ARGUMENT: fewer
// than 2 tokens, or a window out of range.
absl::StatusOr<Perplexity> MeasurePerplexity(
    ModelRunner& runner, absl::Span<const TokenId> tokens, int window,
    absl::FunctionRef<void(int num_done, int num_windows)> progress);

}  // namespace tandem
