// Drives one sample from prompt to last token: asks for a route, opens Prefill and Decode at the
// same time, joins their tokens into one text, ends both calls whatever happens. A worker that is
// lost on the way, or says that it will end, is replaced: others replay the prompt and the tokens
// so far, and the listener sees the text go on.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "engine/core/batch.h"
#include "engine/core/request.h"
#include "proto/scheduler.pb.h"
#include "proto/worker.pb.h"
#include "server/gateway/active_requests.h"
#include "server/gateway/executor.h"
#include "server/gateway/sample_latency.h"
#include "server/gateway/slo.h"
#include "server/gateway/stage_timer.h"
#include "server/gateway/transcript.h"
#include "server/gateway/worker_call.h"

namespace tandem {

class ClusterWatch;
class SchedulerClient;
class Tokenizer;
class WorkerStubs;

// What a generation needs of the gateway; all of it outlives every request.
struct GenerationServices {
  SchedulerClient& scheduler;
  WorkerStubs& workers;
  Metrics& metrics;
  const Tokenizer& tokenizer;
  const ClusterWatch& cluster;
  const SloClasses& slo_classes;
  absl::Duration replay_timeout;  // see GatewayOptions
};

struct GenerationRequest {
  std::string model;
  std::string client_request_id;                       // for the log; the scheduler gives another
  std::shared_ptr<const std::vector<TokenId>> prompt;  // at least one token
  SamplingParams sampling;  // stop_token_ids with the model's end tokens unless they are ignored
  std::vector<TokenId> client_stop_token_ids;  // those that the client named
  std::vector<std::string> stop_strings;
  bool include_stop_str_in_output = false;
  bool skip_special_tokens = true;
  bool is_prompt_only = false;  // draw one token, since workers must, and drop it
  uint64_t cache_salt = 0;      // 0: none
  uint64_t tenant = 0;          // a hash of its name
  Slo slo;
  int priority = 0;                                    // lower is earlier
  absl::Time arrival;                                  // at the gateway
  std::shared_ptr<const ActiveRequests::Place> place;  // kept until both workers have let go
};

// What is new since the last one.
struct GenerationDelta {
  std::string text;                  // never cut inside a UTF-8 sequence; may be empty
  std::vector<SampledToken> tokens;  // a stop token included
  std::vector<PromptLogprob> prompt_logprobs;
  Stages first_token_stages;  // with the first token
  SampleLatency latency;      // until now
};

// How a sample ended, and what it cost.
struct GenerationSummary {
  Ending ending;
  int num_completion_tokens = 0;
  int num_cached_tokens = 0;  // of the prompt
  int64_t kv_bytes = 0;       // crossed between the workers
  SampleLatency latency;
  absl::Duration predicted_ttft;  // when it was routed first, from arrival on; zero: was not
  absl::Duration predicted_tpot;
  Stages first_token_stages;   // of the TTFT; empty: not known
  Stages second_token_stages;  // of the gap between the first two tokens; empty: not known
  std::string path;            // disaggregated | local | recomputed | migrated
  std::string prefill_instance;
  std::string decode_instance;
};

// Runs on the request's strand. After OnEnd, and after Cancel, nothing more is called.
class GenerationListener {
 public:
  virtual ~GenerationListener() = default;
  // The workers are known: "disaggregated" or "local"; once more for each "migrated".
  virtual void OnRoute(int sample, absl::string_view path) = 0;
  virtual void OnDelta(int sample, GenerationDelta delta) = 0;
  // The last delta, if any, came before it, in the same task. A failed status: the summary tells
  // what there was until then.
  virtual void OnEnd(int sample, const absl::Status& status, const GenerationSummary& summary) = 0;
};

// Owned by the calls that it has under way: it lives as long as something can still happen to it,
// and so keeps its listener. All methods on the strand.
class Generation : public std::enable_shared_from_this<Generation> {
 public:
  // `sample` is handed back with every event.
  Generation(const GenerationServices& services, GenerationRequest request, int sample,
             std::shared_ptr<Strand> strand, std::shared_ptr<GenerationListener> listener);
  ~Generation();

  void Start();

  // Aborts on both workers at once. The listener hears nothing more.
  void Cancel();

  // Stops and goes on reading from the workers, for a client that reads too slowly.
  void Pause() { is_paused_ = true; }
  void Resume();

 private:
  enum class Source { kPrefill, kDecode };

  // A call to one worker. Decode's events wait until prefill's first token is through.
  struct Leg {
    std::shared_ptr<WorkerCall> call;  // null: not opened, or done
    std::optional<v1::TokenEvent> waiting;
    bool wants_next = false;   // the last event is handled and the next one not asked for
    bool is_finished = false;  // its worker has said how the request ended
    bool is_over = false;      // the call has ended
  };

  void AskForRoute();
  void AskForRouteIn(absl::Duration delay);
  void OnRoute(absl::StatusOr<v1::RouteResponse> route);
  void OpenCalls();
  v1::EngineRequest MakeEngineRequest() const;
  WorkerCall::Callbacks CallbacksFor(Source source);

  void OnEvent(Source source, v1::TokenEvent event);
  void OnDone(Source source, const absl::Status& status);
  // Tokens before the event's are still to come from prefill.
  bool MustWait(Source source, const v1::TokenEvent& event) const;
  void Handle(Source source, const v1::TokenEvent& event);
  void TakeStats(Source source, const v1::TokenEvent& event);
  // When the event of `delta` came, and that the text is ready now.
  void TakeTimes(const v1::TokenEvent& event, absl::Time arrived, GenerationDelta& delta);
  void ReadOn(Source source);

  // A worker has failed: goes on elsewhere, or ends.
  void Fail(Source source, absl::Status status);
  void Migrate(Source source);
  // A worker will end too early: asks for others, and goes on with it until there are some.
  void Leave(Source source);
  // The next route is to name others than this worker.
  void Avoid(Source source);
  // Cancels the calls of the present attempt.
  void BeginNextAttempt();
  void End(const absl::Status& status);
  void EndCalls();
  void CompleteIfLeft();

  // The present attempt has brought a token.
  bool has_first_token() const { return transcript_.num_tokens() > num_earlier_tokens_; }
  Leg& leg(Source source) { return source == Source::kPrefill ? prefill_ : decode_; }
  const std::string& instance(Source source) const {
    return source == Source::kPrefill ? summary_.prefill_instance : summary_.decode_instance;
  }

  // Fixed after construction.
  const GenerationServices services_;
  const GenerationRequest request_;
  const int sample_;
  const std::shared_ptr<Strand> strand_;

  std::shared_ptr<GenerationListener> listener_;  // null once it ended
  v1::RouteResponse route_;
  bool is_routed_ = false;   // route_ counts at the scheduler
  bool is_routing_ = false;  // a route was asked for
  bool is_leaving_ = false;  // while other workers are asked for
  bool is_paused_ = false;
  v1::RequestReport::Outcome outcome_ = v1::RequestReport::CANCELLED;  // unless it ends

  // Attempts: what comes from calls of an earlier one is dropped.
  int attempt_ = 0;
  int num_earlier_tokens_ = 0;  // of earlier attempts
  int num_failures_ = 0;        // since the last token
  std::string numerics_;        // of the first attempt
  std::vector<v1::WorkerIncarnation> lost_workers_;
  absl::Status last_failure_;
  absl::Time give_up_;  // looking for other workers
  std::unique_ptr<Strand::Timer> route_again_;
  int num_open_calls_ = 0;  // of all attempts

  Leg prefill_;
  Leg decode_;
  Transcript transcript_;
  StageTimer stage_timer_;
  GenerationSummary summary_;
  LatencyMeter latency_meter_;
  absl::Time last_token_time_;
};

}  // namespace tandem
