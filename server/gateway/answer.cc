#include "server/gateway/answer.h"

#include <utility>

#include "server/gateway/metrics.h"

namespace tandem {

void Answer::Begin(AnswerParts parts, ActiveRequests::Place place,
                   const GenerationServices& services) {
  if (parts.request.stream) {
    const auto answer = std::make_shared<StreamedAnswer>(std::move(parts), services);
    answer->StartPings();
    answer->Start(std::move(place));
  } else {
    std::make_shared<CollectedAnswer>(std::move(parts), services)->Start(std::move(place));
  }
}

Answer::Answer(AnswerParts parts, const GenerationServices& services)
    : summaries_(parts.prepared.samples.size()),
      parts_(std::move(parts)),
      services_(services),
      response_(parts_.identity, parts_.request, parts_.prepared, services.tokenizer) {}

void Answer::Start(ActiveRequests::Place place) {
  const std::weak_ptr<Answer> weak = weak_from_this();
  exchange().OnClosed([weak] {
    if (const auto self = weak.lock()) self->OnClientGone();
  });
  place.OnCancel([weak, strand = exchange().strand()] {
    strand->Post([weak] {
      const auto self = weak.lock();
      if (self != nullptr) self->Cut(absl::UnavailableError("The server is shutting down."));
    });
  });
  group_ = std::make_shared<GenerationGroup>(exchange().strand(), shared_from_this());
  std::vector<GenerationRequest> samples = parts_.prepared.samples;
  const auto shared_place = std::make_shared<const ActiveRequests::Place>(std::move(place));
  for (GenerationRequest& sample : samples) {
    sample.place = shared_place;
    sample.client_request_id = call().request_id;
  }
  // A route may fail at once, but never before Start has returned: its result is posted.
  group_->Start(services_, std::move(samples));
}

void Answer::OnRoute(int sample, absl::string_view path) {
  if (path_.empty()) path_ = std::string(path);
  summaries_[sample].path = std::string(path);
}

void Answer::OnSampleEnd(int sample, const GenerationSummary& summary, bool is_last) {
  summaries_[sample] = summary;
  path_ = summary.path;  // of use where the head of the response is yet to be sent
}

void Answer::OnGroupEnd(const absl::Status& status) {
  group_ = nullptr;
  Record(status);
  if (status.ok()) {
    Complete();
  } else {
    Fail(status);
  }
}

void Answer::OnClientGone() { Cut(absl::CancelledError("the client has gone")); }

void Answer::Cut(const absl::Status& status) {
  if (const auto group = std::exchange(group_, nullptr)) {
    group->Cancel();
    Record(status);
    Fail(status);
  }
}

void Answer::Record(const absl::Status& status) const {
  const Metrics::RequestOutcome outcome =
      OutcomeOfRequest(usage(), summaries_, status, call().request().received, parts_.prepared.slo);
  services_.metrics.ObserveRequest(outcome);
  LogOutcome(call().request_id, outcome, summaries_.front(), status);
}

Usage Answer::usage() const { return SumUsage(parts_.prepared, parts_.request.n, summaries_); }

HttpHeaders Answer::ResponseHeaders() const {
  HttpHeaders headers = {{"X-Request-Id", call().request_id}};
  if (!path_.empty()) headers.emplace_back("x-tandem-path", path_);
  const GenerationSummary& first = summaries_.front();
  if (request().wants_timing && !first.first_token_stages.empty()) {
    headers.emplace_back("x-tandem-timing", ToHeaderValue(first.first_token_stages));
  }
  return headers;
}

CollectedAnswer::CollectedAnswer(AnswerParts parts, const GenerationServices& services)
    : Answer(std::move(parts), services), choices_(summaries_.size()) {}

void CollectedAnswer::OnDelta(int sample, GenerationDelta delta) {
  Choice& choice = choices_[sample];
  choice.text += delta.text;
  summaries_[sample].latency = delta.latency;
  summaries_[sample].num_completion_tokens += static_cast<int>(delta.tokens.size());
  std::move(delta.tokens.begin(), delta.tokens.end(), std::back_inserter(choice.tokens));
  std::move(delta.prompt_logprobs.begin(), delta.prompt_logprobs.end(),
            std::back_inserter(choice.prompt_logprobs));
}

void CollectedAnswer::Complete() {
  for (size_t i = 0; i < choices_.size(); ++i) choices_[i].summary = summaries_[i];
  Json body = response().Whole(choices_, usage());
  body["tandem"] = TandemJson(summaries_, request().wants_timing);
  exchange().Respond({.headers = ResponseHeaders(), .body = DumpJson(body)});
}

void CollectedAnswer::Fail(const absl::Status& status) { call().RespondError(status); }

}  // namespace tandem
