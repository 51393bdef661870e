#include "server/gateway/generation.h"

#include <algorithm>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "engine/core/log.h"
#include "server/gateway/cluster_clients.h"
#include "server/gateway/error.h"
#include "server/gateway/metrics.h"
#include "server/gateway/wire_format.h"

namespace tandem {
namespace {

// A worker's failure as the client should see it. An epoch that does not match and a call that the
// worker cut are signs of a restart: to try again helps. What the client cannot have caused is
// ours.
absl::Status ToClientStatus(const absl::Status& status, absl::string_view side,
                            absl::string_view instance) {
  const std::string message =
      absl::StrCat(side, " worker ", instance, ": ",
                   status.message().empty() ? absl::StatusCodeToString(status.code())
                                            : std::string(status.message()));
  switch (status.code()) {
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kAborted:
      return absl::UnavailableError(message);
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
      return absl::InternalError(message);
    default:
      return {status.code(), message};
  }
}

absl::Status ToRouteStatus(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kNotFound:
      return WithErrorCode(WithParam(status, "model"), "model_not_found");
    case absl::StatusCode::kCancelled:
      return absl::UnavailableError(absl::StrCat("scheduler: ", status.message()));
    case absl::StatusCode::kDeadlineExceeded:
      return absl::DeadlineExceededError("the scheduler did not answer in time (stage: route)");
    default:
      return status;
  }
}

}  // namespace

Generation::Generation(const GenerationServices& services, GenerationRequest request, int sample,
                       std::shared_ptr<Strand> strand, std::shared_ptr<GenerationListener> listener)
    : services_(services),
      request_(std::move(request)),
      sample_(sample),
      strand_(std::move(strand)),
      listener_(std::move(listener)),
      output_(services.tokenizer,
              {.stop_strings = request_.stop_strings,
               .include_stop_str_in_output = request_.include_stop_str_in_output,
               .skip_special_tokens = request_.skip_special_tokens}) {}

Generation::~Generation() = default;

void Generation::Start() {
  v1::RouteRequest route;
  route.set_num_prompt_tokens(static_cast<int32_t>(request_.prompt->size()));
  route.set_max_tokens(request_.sampling.max_tokens);
  route.set_priority(request_.priority);
  route.set_model(request_.model);
  // Not cancelled with the request: the scheduler must learn that a route it gave is not used.
  services_.scheduler.Route(
      std::move(route), strand_,
      [self = shared_from_this()](absl::StatusOr<v1::RouteResponse> response) {
        self->OnRoute(std::move(response));
      });
}

void Generation::OnRoute(absl::StatusOr<v1::RouteResponse> route) {
  if (!route.ok()) return End(ToRouteStatus(route.status()));
  route_ = *std::move(route);
  is_routed_ = true;
  if (listener_ == nullptr) return CompleteIfLeft();
  summary_.prefill_instance = route_.prefill().instance_id();
  summary_.decode_instance = route_.decode().instance_id();
  OpenCalls();
}

void Generation::OpenCalls() {
  const bool has_prefill = route_.has_prefill();
  const bool needs_decode = !has_prefill || request_.sampling.max_tokens > 1;
  if (needs_decode && !route_.has_decode()) {
    return End(absl::InternalError("the scheduler named no decode worker"));
  }
  summary_.path = has_prefill && needs_decode ? "disaggregated" : "local";
  listener_->OnRoute(sample_, summary_.path);
  if (has_prefill) {
    v1::PrefillRequest prefill;
    *prefill.mutable_request() = MakeEngineRequest();
    prefill.set_epoch(route_.prefill().epoch());
    prefill.set_hand_off(needs_decode);
    prefill_.call =
        WorkerCall::StartPrefill(services_.workers, route_.prefill().address(), std::move(prefill),
                                 strand_, CallbacksFor(Source::kPrefill));
  }
  if (needs_decode) {
    v1::DecodeRequest decode;
    *decode.mutable_request() = MakeEngineRequest();
    decode.set_epoch(route_.decode().epoch());
    if (has_prefill) {
      decode.mutable_prefill()->set_address(route_.prefill().address());
      decode.mutable_prefill()->set_epoch(route_.prefill().epoch());
    }
    decode_.call =
        WorkerCall::StartDecode(services_.workers, route_.decode().address(), std::move(decode),
                                strand_, CallbacksFor(Source::kDecode));
  }
}

v1::EngineRequest Generation::MakeEngineRequest() const {
  v1::EngineRequest engine_request;
  engine_request.set_id(route_.request_id());
  engine_request.set_attempt(route_.attempt());
  engine_request.mutable_prompt()->Add(request_.prompt->begin(), request_.prompt->end());
  *engine_request.mutable_sampling() = ToProto(request_.sampling);
  engine_request.set_priority(request_.priority);
  engine_request.set_cache_salt(request_.cache_salt);
  engine_request.set_arrival_unix_us(absl::ToUnixMicros(request_.arrival));
  return engine_request;
}

WorkerCall::Callbacks Generation::CallbacksFor(Source source) {
  return {.on_event = [self = shared_from_this(),
                       source](v1::TokenEvent event) { self->OnEvent(source, std::move(event)); },
          .on_done = [self = shared_from_this(),
                      source](absl::Status status) { self->OnDone(source, std::move(status)); }};
}

bool Generation::MustWait(Source source) const {
  return source == Source::kDecode && route_.has_prefill() && summary_.num_completion_tokens == 0;
}

void Generation::OnEvent(Source source, v1::TokenEvent event) {
  if (listener_ == nullptr) return leg(source).call->Cancel();
  if (MustWait(source)) {
    leg(source).waiting = std::move(event);
    return;
  }
  Handle(source, event);
  // The first token is through: decode's second may have come before it.
  if (source == Source::kPrefill && !MustWait(Source::kDecode)) {
    auto waiting = std::exchange(decode_.waiting, std::nullopt);
    if (waiting && listener_ != nullptr) {
      Handle(Source::kDecode, *waiting);
    }
  }
}

void Generation::Handle(Source source, const v1::TokenEvent& event) {
  if (event.finish_reason() != v1::FINISH_REASON_UNSPECIFIED) leg(source).is_finished = true;
  TakeStats(source, event);
  GenerationDelta delta;
  TakeTokens(event, delta);
  FinishBy(event, delta);
  if (request_.is_prompt_only) DropOutput(delta);
  if (!delta.tokens.empty()) CountLatency(static_cast<int>(delta.tokens.size()));
  // The listener may let go of itself while it handles the end.
  const std::shared_ptr<GenerationListener> listener = listener_;
  if (!delta.tokens.empty() || !delta.prompt_logprobs.empty() || !delta.text.empty()) {
    listener->OnDelta(sample_, std::move(delta));
  }
  if (summary_.finish_reason == FinishReason::kNone) {
    if (event.finish_reason() == v1::FINISH_REASON_ABORTED) {
      return End(ToClientStatus(absl::AbortedError("the request was aborted"),
                                source == Source::kPrefill ? "prefill" : "decode",
                                instance(source)));
    }
    return ReadOn(source);
  }
  End(absl::OkStatus());
}

void Generation::TakeStats(Source source, const v1::TokenEvent& event) {
  if (source == Source::kPrefill || !route_.has_prefill()) {
    summary_.num_cached_tokens = std::max(summary_.num_cached_tokens, event.cached_tokens());
  }
  if (source == Source::kDecode && event.has_stats()) {
    summary_.kv_bytes = event.stats().kv_bytes();
    if (event.stats().recomputed()) summary_.path = "recomputed";
  }
}

void Generation::TakeTokens(const v1::TokenEvent& event, GenerationDelta& delta) {
  for (const v1::PromptLogprob& logprob : event.prompt_logprobs()) {
    delta.prompt_logprobs.push_back(FromProto(logprob));
  }
  for (int i = 0; i < event.tokens_size(); ++i) {
    // A decode worker that had to compute the prompt itself draws the first token once more.
    if (event.index() + i < summary_.num_completion_tokens) continue;
    const TokenId token = static_cast<TokenId>(event.tokens(i).token());
    delta.tokens.push_back(FromProto(event.tokens(i)));
    ++summary_.num_completion_tokens;
    const bool is_stop_token = event.finish_reason() == v1::FINISH_REASON_STOP &&
                               i + 1 == event.tokens_size() && event.has_stop_token() &&
                               token == static_cast<TokenId>(event.stop_token());
    if (is_stop_token && !request_.include_stop_str_in_output) continue;
    const bool may_stop = summary_.num_completion_tokens > request_.sampling.min_tokens;
    OutputText::Piece piece = output_.Append(token, may_stop);
    delta.text += piece.text;
    if (piece.matched) {
      summary_.finish_reason = FinishReason::kStop;
      summary_.stop_string = std::move(piece.matched);
      return;
    }
  }
}

void Generation::FinishBy(const v1::TokenEvent& event, GenerationDelta& delta) {
  if (summary_.finish_reason != FinishReason::kNone) return;
  if (event.finish_reason() == v1::FINISH_REASON_STOP) {
    summary_.finish_reason = FinishReason::kStop;
    const TokenId token = static_cast<TokenId>(event.stop_token());
    if (event.has_stop_token() && absl::c_linear_search(request_.client_stop_token_ids, token)) {
      summary_.stop_token = token;
    }
  } else if (event.finish_reason() == v1::FINISH_REASON_LENGTH) {
    summary_.finish_reason = FinishReason::kLength;
  } else {
    return;
  }
  OutputText::Piece rest = output_.Finish();
  delta.text += rest.text;
  if (rest.matched) {
    summary_.finish_reason = FinishReason::kStop;
    summary_.stop_string = std::move(rest.matched);
    summary_.stop_token = std::nullopt;
  }
}

void Generation::DropOutput(GenerationDelta& delta) {
  delta.text.clear();
  delta.tokens.clear();
  if (summary_.finish_reason == FinishReason::kNone) return;
  summary_.finish_reason = FinishReason::kLength;
  summary_.stop_string = std::nullopt;
  summary_.stop_token = std::nullopt;
  summary_.num_completion_tokens = 0;
}

void Generation::CountLatency(int num_tokens) {
  const absl::Time now = absl::Now();
  if (summary_.num_completion_tokens == num_tokens) {
    first_token_time_ = now;
    summary_.ttft = now - request_.arrival;
    services_.metrics.ObserveFirstToken(summary_.ttft);
  } else {
    services_.metrics.ObserveInterTokenGap(now - last_token_time_);
    summary_.tpot = (now - first_token_time_) / (summary_.num_completion_tokens - 1);
  }
  last_token_time_ = now;
}

void Generation::ReadOn(Source source) {
  Leg& leg = this->leg(source);
  if (is_paused_) {
    leg.wants_next = true;
  } else if (leg.call != nullptr) {
    leg.call->Next();
  }
}

void Generation::Resume() {
  is_paused_ = false;
  for (Leg* leg : {&prefill_, &decode_}) {
    if (std::exchange(leg->wants_next, false) && leg->call != nullptr) leg->call->Next();
  }
}

void Generation::OnDone(Source source, absl::Status status) {
  leg(source).call = nullptr;
  if (listener_ == nullptr) return CompleteIfLeft();
  const bool is_prefill = source == Source::kPrefill;
  // Once the first token is here, whether its KV arrives is between the workers: decode recomputes
  // it or fails.
  const bool is_last_word = !is_prefill || decode_.call == nullptr || MustWait(Source::kDecode);
  if (!is_last_word) return;
  if (status.ok()) status = absl::InternalError("ended its stream before the answer was complete");
  End(ToClientStatus(status, is_prefill ? "prefill" : "decode", instance(source)));
}

void Generation::Cancel() {
  listener_ = nullptr;
  for (Leg* leg : {&prefill_, &decode_}) {
    if (leg->call != nullptr) leg->call->Cancel();
  }
  CompleteIfLeft();
}

void Generation::End(const absl::Status& status) {
  if (const auto listener = std::exchange(listener_, nullptr)) {
    if (!status.ok()) {
      LOG(WARNING) << "generation failed request_id=" << route_.request_id()
                   << " prefill=" << summary_.prefill_instance
                   << " decode=" << summary_.decode_instance << ": " << status.ToString();
    }
    EndCalls();
    listener->OnEnd(sample_, status, summary_);
  }
}

void Generation::EndCalls() {
  for (Leg* leg : {&prefill_, &decode_}) {
    if (leg->call == nullptr) continue;
    if (leg->is_finished) {
      leg->call->Next();  // to the end of the stream, which is next
    } else {
      leg->call->Cancel();
    }
  }
  CompleteIfLeft();
}

void Generation::CompleteIfLeft() {
  if (!is_routed_ || listener_ != nullptr) return;
  if (prefill_.call != nullptr || decode_.call != nullptr) return;
  is_routed_ = false;
  services_.scheduler.Complete(route_.request_id());
}

}  // namespace tandem
