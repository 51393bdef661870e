#include "server/worker/step_pace.h"

namespace tandem {
namespace {

// Weight of the newest step: a mean of about the last ten.
constexpr double kNewest = 0.1;

}  // namespace

void StepPace::Observe(absl::Duration step) {
  step_ = step_ == absl::ZeroDuration() ? step : step_ + (step - step_) * kNewest;
}

absl::Duration StepPace::TimeToFinish(const UnfinishedRequest& request,
                                      int max_tokens_per_step) const {
  const int64_t num_prefill_steps =
      (request.num_tokens_before + max_tokens_per_step - 1) / max_tokens_per_step;
  return step_ * (num_prefill_steps + request.num_tokens_to_draw);
}

}  // namespace tandem
