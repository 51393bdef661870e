// Reads the events of one streamed answer of OpenAI's API: when its tokens came and how many.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "scheduler/sim/slo_report.h"

namespace tandem {

class OpenAiStream {
 public:
  // The data of an event that came `since_sent` after the request was sent.
  void OnEvent(absl::string_view data, absl::Duration since_sent);

  // The stream has ended; `is_complete` says that the connection did so in order. Writes outcome,
  // error, latencies and counts. Served is an answer with at least one chunk, no error event and
  // an orderly end.
  //
  // TTFT ends at the first chunk that has text, or tool calls; if none has, at the first one at
  // all. The latency ends at the last chunk with choices. Tokens are those of `usage`, or else the
  // number of chunks with text.
  void Finish(bool is_complete, RequestRecord& record) const;

 private:
  void OnToken(bool has_text, absl::Duration since_sent);

  std::optional<absl::Duration> first_chunk_, first_text_, last_chunk_;
  std::vector<double> gaps_ms_;
  int num_text_chunks_ = 0;
  std::optional<int> prompt_tokens_, output_tokens_;
  int cached_tokens_ = 0;
  std::string path_;
  std::string error_;
};

// {"error":{"message":...}} -> the message; else the body's first 200 bytes.
std::string ErrorMessageOf(absl::string_view body);

}  // namespace tandem
