#include "scheduler/fair_clock.h"

#include <algorithm>

namespace tandem {
namespace {

// The paper's weights of input and output tokens are 1 and 2.
constexpr int kOutputWeight = 2;

// Tenants that are not ahead any more are forgotten when there are more than this.
constexpr size_t kMaxIdleTenants = 1024;

}  // namespace

int64_t FairClock::Arrive(uint64_t tenant, int num_prompt_tokens) {
  int64_t& served = served_[tenant];
  const int64_t stamp = std::max(served, now_);
  served = stamp + num_prompt_tokens;
  return stamp;
}

void FairClock::Begin(int64_t stamp) {
  if (stamp <= now_) return;
  now_ = stamp;
  if (served_.size() <= kMaxIdleTenants) return;
  absl::erase_if(served_, [this](const auto& entry) { return entry.second <= now_; });
}

void FairClock::Serve(uint64_t tenant) {
  if (const auto found = served_.find(tenant); found != served_.end()) {
    found->second += kOutputWeight;
  }
}

}  // namespace tandem
