#include "scheduler/fair_clock.h"

#include <algorithm>
#include <vector>

namespace tandem {
namespace {

// The paper's weights of input and output tokens are 1 and 2.
constexpr int kOutputWeight = 2;

constexpr size_t kMaxTenants = 2048;

}  // namespace

int64_t FairClock::Arrive(uint64_t tenant, int num_prompt_tokens) {
  if (served_.size() >= kMaxTenants && !served_.contains(tenant)) Forget();
  int64_t& served = served_[tenant];
  const int64_t stamp = std::max(served, now_);
  served = stamp + num_prompt_tokens;
  return stamp;
}

void FairClock::Begin(int64_t stamp) { now_ = std::max(now_, stamp); }

// The half that was served least is treated as if it had not been served yet: now is where the last
// of them stands.
void FairClock::Forget() {
  std::vector<int64_t> served;
  served.reserve(served_.size());
  for (const auto& [tenant, tokens] : served_) served.push_back(tokens);
  const auto middle = served.begin() + served.size() / 2;
  std::nth_element(served.begin(), middle, served.end());
  now_ = std::max(now_, *middle);
  absl::erase_if(served_, [this](const auto& entry) { return entry.second <= now_; });
}

void FairClock::Serve(uint64_t tenant) {
  if (const auto found = served_.find(tenant); found != served_.end()) {
    found->second += kOutputWeight;
  }
}

}  // namespace tandem
