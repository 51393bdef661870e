// How long a sample's tokens and its text took.
#pragma once

#include "absl/time/time.h"

namespace tandem {

// All zero before the first token.
struct SampleLatency {
  absl::Duration ttft;  // arrival -> first token
  absl::Duration tpot;  // mean gap between the tokens after the first; zero for one token
  // The same for who reads the text, as `tandem bench` does: from the first text on, which comes
  // later than the first token where that is half a character, a special token or perhaps a stop
  // string. Of an answer without any text: as above. Latency targets are held against these two.
  absl::Duration shown_ttft;
  absl::Duration shown_tpot;
};

// Takes the tokens of one sample as they come. Used by one thread.
class LatencyMeter {
 public:
  explicit LatencyMeter(absl::Time arrival) : arrival_(arrival) {}

  // At `now` came tokens, text or both; `now` never goes back.
  void Take(int num_tokens, bool has_text, absl::Time now);

  const SampleLatency& latency() const { return latency_; }

 private:
  const absl::Time arrival_;
  absl::Time first_token_ = absl::InfiniteFuture();
  absl::Time first_shown_ = absl::InfiniteFuture();
  bool has_text_ = false;
  int num_tokens_ = 0;
  SampleLatency latency_;
};

}  // namespace tandem
