#include "server/gateway/stage_timer.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace tandem {

std::string ToHeaderValue(const Stages& stages) {
  return absl::StrJoin(stages, ", ", [](std::string* out, const Stage& stage) {
    absl::StrAppendFormat(out, "%s;dur=%.3f", stage.name, absl::ToDoubleMilliseconds(stage.time));
  });
}

void StageTimer::AskForRoute(absl::Time now) {
  started_ = std::min(started_, now);
  asked_ = now;
  first_sent_ = absl::InfinitePast();
}

void StageTimer::TakeFirstToken(const v1::StageTimes& times, absl::Time arrived, absl::Time now) {
  if (times.sent_unix_us() == 0) return;
  const absl::Time accepted = absl::FromUnixMicros(times.accepted_unix_us());
  const absl::Time begun = absl::FromUnixMicros(times.begun_unix_us());
  first_sent_ = absl::FromUnixMicros(times.sent_unix_us());
  first_ready_ = now;
  first_token_ = {
      {"ingress", started_ - arrival_}, {"retry", asked_ - started_},
      {"route", opened_ - asked_},      {"network", (accepted - opened_) + (arrived - first_sent_)},
      {"queue", begun - accepted},      {"prefill", first_sent_ - begun},
      {"detokenize", now - arrived}};
}

void StageTimer::TakeSecondToken(const v1::StageTimes& times, absl::Time now) {
  if (times.sent_unix_us() == 0 || first_sent_ == absl::InfinitePast()) return;
  const absl::Time kv_ready = absl::FromUnixMicros(times.kv_ready_unix_us());
  const absl::Time step_begin = absl::FromUnixMicros(times.step_begin_unix_us());
  const absl::Time sent = absl::FromUnixMicros(times.sent_unix_us());
  second_token_ = {{"kv_exposed", kv_ready - first_sent_},
                   {"queue", step_begin - kv_ready},
                   {"decode", sent - step_begin},
                   {"network", (now - sent) - (first_ready_ - first_sent_)}};
}

}  // namespace tandem
