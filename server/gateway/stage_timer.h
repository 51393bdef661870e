// Where the time to the first token, and from there to the second, went. Every stage lies between
// two stamps, and the next one begins where it ended: none is what the others leave.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "proto/worker.pb.h"

namespace tandem {

struct Stage {
  absl::string_view name;
  absl::Duration time;
};

// These make up the time to first token:
//   ingress     received to the first question for workers: parse, template, tokenise
//   retry       attempts whose workers were lost
//   route       question to the calls to the workers
//   network     to the worker and back
//   queue       accepted by the worker to its blocks
//   prefill     blocks to the message with the token
//   detokenize  message to text
//
// And of these, the time from first to second token:
//   kv_exposed  first token sent to all KV there: what of the transfer computing did not hide; a
//               prompt that had to be computed again counts here too
//   queue       KV there to the step
//   decode      step to message
//   network     of the second token, less that of the first; may be negative
using Stages = std::vector<Stage>;

// "ingress;dur=0.211, route;dur=0.094", in ms: the syntax of Server-Timing.
std::string ToHeaderValue(const Stages& stages);

// Takes the stamps of one sample. Clocks of two hosts may differ: the time to first token compares
// no two of them; between first and second token the difference moves time from kv_exposed to
// network, or back.
class StageTimer {
 public:
  explicit StageTimer(absl::Time arrival) : arrival_(arrival) {}

  // An attempt begins; the first one or a replay.
  void AskForRoute(absl::Time now);
  void OpenCalls(absl::Time now) { opened_ = now; }

  // A token's event `arrived`, and its text was ready `now`.
  void TakeFirstToken(const v1::StageTimes& times, absl::Time arrived, absl::Time now);
  void TakeSecondToken(const v1::StageTimes& times, absl::Time now);

  // Empty while there is no such token, and where its worker sent no times. The second's also when
  // its attempt is not the first's.
  const Stages& first_token() const { return first_token_; }
  const Stages& second_token() const { return second_token_; }

 private:
  const absl::Time arrival_;
  absl::Time started_ = absl::InfiniteFuture();
  absl::Time asked_;
  absl::Time opened_;
  absl::Time first_sent_ = absl::InfinitePast();  // in this attempt
  absl::Time first_ready_;
  Stages first_token_;
  Stages second_token_;
};

}  // namespace tandem
