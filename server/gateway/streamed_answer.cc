#include <utility>

#include "absl/strings/str_cat.h"
#include "server/gateway/answer.h"

namespace tandem {
namespace {

// How long the status line waits for a token, so that failures until then keep their HTTP status.
constexpr absl::Duration kHeadDelay = absl::Seconds(5);

// Silence after which a comment is sent, so that proxies do not take the stream for dead.
constexpr absl::Duration kPingInterval = absl::Seconds(15);

}  // namespace

StreamedAnswer::StreamedAnswer(AnswerParts parts, const GenerationServices& services)
    : Answer(std::move(parts), services), openings_(summaries_.size()) {}

void StreamedAnswer::StartPings() {
  const auto weak = weak_from_this();
  ping_ = exchange().strand()->RunAfter(is_begun_ ? kPingInterval : kHeadDelay, [weak] {
    const auto self = std::static_pointer_cast<StreamedAnswer>(weak.lock());
    if (self != nullptr) self->Ping();
  });
}

void StreamedAnswer::Ping() {
  if (group() == nullptr) return;
  if (is_quiet_) Send(":\n\n");
  is_quiet_ = true;
  StartPings();
}

void StreamedAnswer::OnDelta(int sample, GenerationDelta delta) {
  Opening& opening = openings_[sample];
  std::move(delta.prompt_logprobs.begin(), delta.prompt_logprobs.end(),
            std::back_inserter(opening.prompt_logprobs));
  if (delta.tokens.empty() && delta.text.empty()) return;
  summaries_[sample].latency = delta.latency;
  if (!delta.first_token_stages.empty()) {
    summaries_[sample].first_token_stages = std::move(delta.first_token_stages);
  }
  summaries_[sample].num_completion_tokens += static_cast<int>(delta.tokens.size());
  if (!opening.is_open) OpenChoice(sample);
  // A token whose text is held back is shown with the one that completes it.
  const bool shows_tokens = request().wants_logprobs() || request().return_token_ids;
  if (delta.text.empty() && !shows_tokens) return;
  SendChunk(response().DeltaChunk(sample, delta));
}

void StreamedAnswer::OpenChoice(int sample) {
  Opening& opening = openings_[sample];
  opening.is_open = true;
  Json first = response().FirstChunk(sample, opening.prompt_logprobs);
  opening.prompt_logprobs.clear();
  if (!first.is_null()) SendChunk(std::move(first));
}

void StreamedAnswer::OnSampleEnd(int sample, const GenerationSummary& summary, bool is_last) {
  Answer::OnSampleEnd(sample, summary, is_last);
  if (!openings_[sample].is_open) OpenChoice(sample);
  Json chunk = response().FinishChunk(sample, summary);
  if (is_last && !request().include_usage)
    chunk["tandem"] = TandemJson(summaries_, request().wants_timing);
  SendChunk(std::move(chunk));
}

void StreamedAnswer::Complete() {
  if (request().include_usage) {
    Json chunk = response().UsageChunk(usage());
    chunk["tandem"] = TandemJson(summaries_, request().wants_timing);
    SendEvent(DumpJson(chunk));
  }
  SendEvent("[DONE]");
  exchange().EndStream();
}

void StreamedAnswer::Fail(const absl::Status& status) {
  if (!is_begun_) return call().RespondError(status);
  SendEvent(DumpJson(ErrorJson(ToApiError(status))));
  SendEvent("[DONE]");
  exchange().AbortStream();
}

void StreamedAnswer::SendChunk(Json chunk) {
  if (request().continuous_usage_stats) chunk["usage"] = response().UsageJson(usage());
  SendEvent(DumpJson(chunk));
}

void StreamedAnswer::SendEvent(absl::string_view data) {
  Send(absl::StrCat("data: ", data, "\n\n"));
}

void StreamedAnswer::Send(absl::string_view bytes) {
  is_quiet_ = false;
  if (!is_begun_) {
    is_begun_ = true;
    HttpHeaders headers = ResponseHeaders();
    headers.emplace_back("Cache-Control", "no-cache");
    exchange().BeginStream({.content_type = "text/event-stream", .headers = std::move(headers)});
  }
  exchange().Write(bytes);
  if (is_paused_ || group() == nullptr) return;
  if (exchange().num_buffered_bytes() < HttpExchange::kMaxBufferedBytes) return;
  is_paused_ = true;
  group()->Pause();
  exchange().OnDrained([weak = weak_from_this()] {
    const auto self = std::static_pointer_cast<StreamedAnswer>(weak.lock());
    if (self == nullptr || !std::exchange(self->is_paused_, false)) return;
    if (self->group() != nullptr) self->group()->Resume();
  });
}

}  // namespace tandem
