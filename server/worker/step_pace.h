// How long requests will still take on this worker, judged by its recent steps.
#pragma once

#include "absl/time/time.h"
#include "scheduler/unfinished_request.h"

namespace tandem {

// Owned by one thread.
class StepPace {
 public:
  void Observe(absl::Duration step);

  // A step for each output token, and as many as the tokens to be computed before fill. No longer
  // than this, as it may stop earlier; zero while there were no steps to judge by.
  absl::Duration TimeToFinish(const UnfinishedRequest& request, int max_tokens_per_step) const;

 private:
  absl::Duration step_;  // a mean in which old steps count less and less
};

}  // namespace tandem
