#include "scheduler/swap_cost.h"

namespace tandem {
namespace {

// Weight of the newest step: a few steps settle it, and one that was held up does not turn it over.
constexpr double kNewest = 0.125;

}  // namespace

void SwapCost::Observe(const Batch& batch, absl::Duration duration) {
  if (!batch.copies.empty()) return;
  int num_prefilled = 0;
  for (const BatchRow& row : batch.rows) {
    if (row.num_tokens > 1) num_prefilled += row.num_tokens;
  }
  const int num_tokens = batch.NumTokens();
  if (2 * num_prefilled <= num_tokens) return;
  const absl::Duration token_time = duration / num_tokens / depth_;
  if (token_time_ == absl::InfiniteDuration()) {
    token_time_ = token_time;
  } else {
    token_time_ += (token_time - token_time_) * kNewest;
  }
}

bool SwapCost::PrefersCopies(int num_copies, int num_tokens) const {
  return block_copy_time_ * num_copies <= token_time_ * num_tokens;
}

}  // namespace tandem
