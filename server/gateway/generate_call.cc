#include "server/gateway/generate_call.h"

#include <utility>

#include "engine/core/log.h"
#include "engine/core/status_macros.h"
#include "server/gateway/http_call.h"
#include "server/gateway/inference_service.h"
#include "server/gateway/usage.h"
#include "server/gateway/wire_format.h"
#include "server/grpc_status.h"

namespace tandem {
namespace {

// Messages a slow reader may be behind before its samples pause.
constexpr size_t kMaxQueuedMessages = 256;

v1::SampledToken ToProto(const SampledToken& token) {
  v1::SampledToken proto;
  proto.set_token(static_cast<uint32_t>(token.token));
  proto.set_logprob(token.logprob);
  for (const TokenLogprob& top : token.top) {
    v1::TokenLogprob* entry = proto.add_top();
    entry->set_token(static_cast<uint32_t>(top.token));
    entry->set_logprob(top.logprob);
  }
  return proto;
}

v1::PromptLogprob ToProto(const PromptLogprob& logprob) {
  v1::PromptLogprob proto;
  proto.set_position(logprob.position);
  *proto.mutable_token() = ToProto(logprob.token);
  return proto;
}

void FillStages(const Stages& stages, google::protobuf::Map<std::string, double>& proto) {
  for (const Stage& stage : stages) {
    proto[std::string(stage.name)] = absl::ToDoubleMilliseconds(stage.time);
  }
}

}  // namespace

GenerateCall::GenerateCall(const Parts& parts, v1::GenerateRequest request)
    : parts_(parts), request_(std::move(request)), arrival_(absl::Now()) {}

void GenerateCall::Start() {
  self_ = shared_from_this();
  parts_.strand->Post([self = self_] {
    if (self->end_) return;  // cancelled before it began
    absl::StatusOr<ActiveRequests::Place> place = self->parts_.active_requests.Admit();
    if (!place.ok()) return self->Refuse(place.status());
    self->parts_.event_loop.Compute(
        self->request_.ByteSizeLong() > kLongBytes, self->parts_.strand,
        [self] { return self->Prepare(); },
        [self, place = *std::move(place)](absl::StatusOr<PreparedRequest> prepared) mutable {
          if (self->end_) prepared = absl::CancelledError("the client has gone");
          if (!prepared.ok()) return self->Refuse(prepared.status());
          self->Begin(*std::move(prepared), std::move(place));
        });
  });
}

void GenerateCall::Refuse(const absl::Status& status) {
  const GenerationServices& services = parts_.services;
  services.metrics.ObserveRequest({.outcome = OutcomeOf(status),
                                   .slo_class = services.slo_classes.LabelOf(SloWishOf(request_))});
  End(status);
}

absl::StatusOr<PreparedRequest> GenerateCall::Prepare() const {
  ASSIGN_OR_RETURN(const ApiRequest request, FromProto(request_));
  const int max_model_len = parts_.cluster.MaxModelLen(parts_.model.config.max_position);
  return PrepareRequest(request, parts_.model,
                        {.max_model_len = max_model_len,
                         .arrival = arrival_,
                         .random_seed = RandomUint64(),
                         .slo_classes = &parts_.services.slo_classes});
}

void GenerateCall::Begin(PreparedRequest prepared, ActiveRequests::Place place) {
  prepared_ = std::move(prepared);
  request_id_ = ChooseRequestId(request_.request_id());
  num_samples_per_prompt_ = static_cast<int>(prepared_.samples.size() / prepared_.prompts.size());
  summaries_.resize(prepared_.samples.size());

  place.OnCancel([weak = weak_from_this(), strand = parts_.strand] {
    strand->Post([weak] {
      const auto self = weak.lock();
      if (self != nullptr) self->Cut(absl::UnavailableError("The server is shutting down."));
    });
  });
  std::vector<GenerationRequest> samples = prepared_.samples;
  const auto shared_place = std::make_shared<const ActiveRequests::Place>(std::move(place));
  for (GenerationRequest& sample : samples) {
    sample.place = shared_place;
    sample.client_request_id = request_id_;
  }
  group_ = std::make_shared<GenerationGroup>(parts_.strand, shared_from_this());
  group_->Start(parts_.services, std::move(samples));
}

v1::GenerateResponse& GenerateCall::Queue(int sample) {
  v1::GenerateResponse& response = outbox_.emplace_back();
  response.set_request_id(request_id_);
  response.set_index(static_cast<uint32_t>(sample));
  return response;
}

void GenerateCall::OnDelta(int sample, GenerationDelta delta) {
  summaries_[sample].latency = delta.latency;
  summaries_[sample].num_completion_tokens += static_cast<int>(delta.tokens.size());
  v1::GenerateResponse& response = Queue(sample);
  response.set_text(std::move(delta.text));
  for (const SampledToken& token : delta.tokens) *response.add_tokens() = ToProto(token);
  for (const PromptLogprob& logprob : delta.prompt_logprobs) {
    *response.add_prompt_logprobs() = ToProto(logprob);
  }
  WriteOn();
  if (!is_paused_ && group_ != nullptr && outbox_.size() > kMaxQueuedMessages) {
    is_paused_ = true;
    group_->Pause();
  }
}

void GenerateCall::OnSampleEnd(int sample, const GenerationSummary& summary, bool is_last) {
  summaries_[sample] = summary;
  v1::GenerateResponse& response = Queue(sample);
  const Ending& ending = summary.ending;
  response.set_finish_reason(ending.reason == FinishReason::kLength ? v1::FINISH_REASON_LENGTH
                                                                    : v1::FINISH_REASON_STOP);
  if (ending.stop_string) response.set_stop_string(*ending.stop_string);
  if (ending.stop_token) response.set_stop_token(static_cast<uint32_t>(*ending.stop_token));
  v1::Usage& usage = *response.mutable_usage();
  usage.set_prompt_tokens(
      static_cast<int32_t>(prepared_.prompts[sample / num_samples_per_prompt_].tokens->size()));
  usage.set_completion_tokens(summary.num_completion_tokens);
  usage.set_cached_tokens(summary.num_cached_tokens);
  usage.set_kv_bytes(summary.kv_bytes);
  usage.set_ttft_ms(absl::ToDoubleMilliseconds(summary.latency.ttft));
  usage.set_tpot_ms(absl::ToDoubleMilliseconds(summary.latency.tpot));
  usage.set_path(summary.path);
  usage.set_predicted_ttft_ms(absl::ToDoubleMilliseconds(summary.predicted_ttft));
  usage.set_predicted_tpot_ms(absl::ToDoubleMilliseconds(summary.predicted_tpot));
  FillStages(summary.first_token_stages, *usage.mutable_first_token_stages_ms());
  FillStages(summary.second_token_stages, *usage.mutable_second_token_stages_ms());
  WriteOn();
}

void GenerateCall::OnGroupEnd(const absl::Status& status) {
  group_ = nullptr;
  End(status);
}

void GenerateCall::WriteOn() {
  if (is_writing_ || is_finished_) return;
  if (!outbox_.empty()) {
    is_writing_ = true;
    StartWrite(&outbox_.front());
  } else if (end_) {
    is_finished_ = true;
    Finish(ToGrpc(*end_));
  }
}

void GenerateCall::Written(bool ok) {
  is_writing_ = false;
  outbox_.pop_front();
  if (!ok) {
    outbox_.clear();
    Cut(absl::CancelledError("the client has gone"));
  }
  if (outbox_.empty() && std::exchange(is_paused_, false) && group_ != nullptr) group_->Resume();
  WriteOn();
}

void GenerateCall::Cut(const absl::Status& status) {
  if (const auto group = std::exchange(group_, nullptr)) group->Cancel();
  End(status);
}

void GenerateCall::End(const absl::Status& status) {
  if (end_) return;
  end_ = status;
  if (!summaries_.empty()) {
    const Usage usage = SumUsage(prepared_, num_samples_per_prompt_, summaries_);
    const Metrics::RequestOutcome outcome =
        OutcomeOfRequest(usage, summaries_, status, arrival_, prepared_.slo);
    parts_.services.metrics.ObserveRequest(outcome);
    LogOutcome(request_id_, outcome, summaries_.front(), status);
  }
  WriteOn();
}

void GenerateCall::OnWriteDone(bool ok) {
  parts_.strand->Post([self = shared_from_this(), ok] { self->Written(ok); });
}

void GenerateCall::OnCancel() {
  parts_.strand->Post(
      [self = shared_from_this()] { self->Cut(absl::CancelledError("the client has gone")); });
}

void GenerateCall::OnDone() {
  parts_.strand->Post([self = std::move(self_)] {});
}

}  // namespace tandem
