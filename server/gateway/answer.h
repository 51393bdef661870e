// Answers one completion or chat over HTTP: what the samples produce goes to the client, whole or
// as a stream of server-sent events.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "server/gateway/active_requests.h"
#include "server/gateway/api_request.h"
#include "server/gateway/generation_group.h"
#include "server/gateway/http_call.h"
#include "server/gateway/openai_response.h"
#include "server/gateway/prepared_request.h"

namespace tandem {

struct AnswerParts {
  HttpCall call;
  ApiRequest request;
  PreparedRequest prepared;
  ResponseIdentity identity;
};

// What both ways of answering share. Lives as long as a sample can still produce something. Strand
// only.
class Answer : public GenerationGroupListener, public std::enable_shared_from_this<Answer> {
 public:
  // Streams or collects, as the request says. When the client goes, both workers are told at once;
  // when `place` is cancelled, the client gets an error. Call on the exchange's strand.
  static void Begin(AnswerParts parts, ActiveRequests::Place place,
                    const GenerationServices& services);

  void OnRoute(int sample, absl::string_view path) override;
  void OnSampleEnd(int sample, const GenerationSummary& summary, bool is_last) override;
  void OnGroupEnd(const absl::Status& status) override;

 protected:
  Answer(AnswerParts parts, const GenerationServices& services);

  // How it ends for the client; the first is preceded by every sample's summary.
  virtual void Complete() = 0;
  virtual void Fail(const absl::Status& status) = 0;

  const HttpCall& call() const { return parts_.call; }
  HttpExchange& exchange() const { return *parts_.call.exchange; }
  const ApiRequest& request() const { return parts_.request; }
  OpenAiResponse& response() { return response_; }
  GenerationGroup* group() { return group_.get(); }
  Usage usage() const;
  // X-Request-Id, x-tandem-path and, if it was asked for and is known, x-tandem-timing.
  HttpHeaders ResponseHeaders() const;

  std::vector<GenerationSummary> summaries_;  // by sample; counts are kept current by streams

 private:
  void Start(ActiveRequests::Place place);
  void OnClientGone();
  void Cut(const absl::Status& status);
  void Record(const absl::Status& status) const;

  const AnswerParts parts_;
  const GenerationServices services_;
  OpenAiResponse response_;
  std::shared_ptr<GenerationGroup> group_;  // null once it ended
  std::string path_;                        // of the first sample that was routed
};

// Builds the answer and sends it as one response.
class CollectedAnswer final : public Answer {
 public:
  CollectedAnswer(AnswerParts parts, const GenerationServices& services);

  void OnDelta(int sample, GenerationDelta delta) override;

 private:
  void Complete() override;
  void Fail(const absl::Status& status) override;

  std::vector<Choice> choices_;  // by sample
};

// Server-sent events. The status line waits for the first token, the first error or kHeadDelay, so
// that most failures keep their HTTP status; after it a failure is an error event and an abnormal
// end. A client that reads too slowly pauses its own samples only.
class StreamedAnswer final : public Answer {
 public:
  StreamedAnswer(AnswerParts parts, const GenerationServices& services);

  // Starts the clock of the head and of pings; after construction.
  void StartPings();

  void OnDelta(int sample, GenerationDelta delta) override;
  void OnSampleEnd(int sample, const GenerationSummary& summary, bool is_last) override;

 private:
  struct Opening {
    bool is_open = false;                        // its first chunk was written
    std::vector<PromptLogprob> prompt_logprobs;  // until then
  };

  void Complete() override;
  void Fail(const absl::Status& status) override;
  void OpenChoice(int sample);
  void SendChunk(Json chunk);
  void SendEvent(absl::string_view data);
  void Send(absl::string_view bytes);
  void Ping();

  std::vector<Opening> openings_;  // by sample
  bool is_begun_ = false;
  bool is_quiet_ = true;  // nothing was sent since the last ping
  bool is_paused_ = false;
  std::unique_ptr<Strand::Timer> ping_;
};

}  // namespace tandem
