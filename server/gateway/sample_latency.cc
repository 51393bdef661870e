#include "server/gateway/sample_latency.h"

namespace tandem {

void LatencyMeter::Take(int num_tokens, bool has_text, absl::Time now) {
  if (num_tokens_ == 0) first_token_ = first_shown_ = now;
  if (has_text && !has_text_) first_shown_ = now;
  has_text_ = has_text_ || has_text;
  num_tokens_ += num_tokens;
  latency_.ttft = first_token_ - arrival_;
  latency_.shown_ttft = first_shown_ - arrival_;
  if (num_tokens_ < 2) return;
  if (num_tokens > 0) latency_.tpot = (now - first_token_) / (num_tokens_ - 1);
  latency_.shown_tpot = (now - first_shown_) / (num_tokens_ - 1);
}

}  // namespace tandem
