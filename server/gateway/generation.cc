#include "server/gateway/generation.h"

#include <algorithm>
#include <utility>

#include "engine/core/log.h"
#include "server/gateway/cluster_clients.h"
#include "server/gateway/cluster_watch.h"
#include "server/gateway/metrics.h"
#include "server/gateway/route_request.h"
#include "server/gateway/wire_format.h"
#include "server/gateway/worker_failure.h"

namespace tandem {
namespace {

// How often a sample may lose its workers without a token in between.
constexpr int kMaxFailuresInARow = 6;
// Between two questions for workers.
constexpr absl::Duration kRouteRetryDelay = absl::Milliseconds(50);
// The same while its workers still go on with it.
constexpr absl::Duration kLeaveRetryDelay = absl::Milliseconds(250);

}  // namespace

Generation::Generation(const GenerationServices& services, GenerationRequest request, int sample,
                       std::shared_ptr<Strand> strand, std::shared_ptr<GenerationListener> listener)
    : services_(services),
      request_(std::move(request)),
      sample_(sample),
      strand_(std::move(strand)),
      listener_(std::move(listener)),
      transcript_(request_, services.tokenizer),
      stage_timer_(request_.arrival),
      latency_meter_(request_.arrival) {}

Generation::~Generation() = default;

void Generation::Start() {
  stage_timer_.AskForRoute(absl::Now());
  AskForRoute();
}

void Generation::AskForRoute() {
  v1::RouteRequest route = MakeRouteRequest(request_, transcript_.tokens(),
                                            services_.cluster.view()->block_sizes, absl::Now());
  if (is_routed_) {
    route.set_replay_of(route_.request_id());
    route.set_attempt(route_.attempt() + 1);
    route.set_numerics(numerics_);
  }
  *route.mutable_avoid() = {lost_workers_.begin(), lost_workers_.end()};
  is_routing_ = true;
  // Not cancelled with the request: the scheduler must learn that a route it gave is not used.
  services_.scheduler.Route(
      std::move(route), strand_,
      [self = shared_from_this()](absl::StatusOr<v1::RouteResponse> response) {
        self->OnRoute(std::move(response));
      });
}

void Generation::OnRoute(absl::StatusOr<v1::RouteResponse> route) {
  is_routing_ = false;
  if (!route.ok()) {
    if (listener_ == nullptr) return CompleteIfLeft();
    // Its present workers go on while no others can.
    if (is_leaving_) return AskForRouteIn(kLeaveRetryDelay);
    if (absl::IsAborted(route.status())) return AskForRouteIn(kRouteRetryDelay);
    const absl::Status status = ToRouteStatus(route.status());
    const bool may_wait = attempt_ > 0 && absl::IsUnavailable(status);
    if (may_wait && absl::Now() < give_up_) return AskForRouteIn(kRouteRetryDelay);
    return End(last_failure_.ok() ? status : last_failure_);
  }
  route_ = *std::move(route);
  is_routed_ = true;
  if (listener_ == nullptr) return CompleteIfLeft();
  if (is_leaving_) BeginNextAttempt();
  if (attempt_ == 0) {
    numerics_ = route_.numerics();
    if (route_.ttft_ms() > 0) {
      summary_.predicted_ttft =
          absl::Now() - request_.arrival + absl::Milliseconds(route_.ttft_ms());
      summary_.predicted_tpot = absl::Milliseconds(route_.tpot_ms());
    }
  }
  if (!route_.fallback().empty()) services_.metrics.CountFallback(route_.fallback());
  if (route_.inexact()) services_.metrics.CountFallback("inexact");
  summary_.prefill_instance = route_.prefill().instance_id();
  summary_.decode_instance = route_.decode().instance_id();
  OpenCalls();
}

void Generation::OpenCalls() {
  const bool has_prefill = route_.has_prefill();
  const int num_tokens_left = request_.sampling.max_tokens - transcript_.num_tokens();
  const bool needs_decode = !has_prefill || num_tokens_left > 1;
  if (needs_decode && !route_.has_decode()) {
    return End(absl::InternalError("the scheduler named no decode worker"));
  }
  if (attempt_ > 0) {
    summary_.path = "migrated";
  } else {
    summary_.path = has_prefill && needs_decode ? "disaggregated" : "local";
  }
  listener_->OnRoute(sample_, summary_.path);
  stage_timer_.OpenCalls(absl::Now());
  num_open_calls_ += (has_prefill ? 1 : 0) + (needs_decode ? 1 : 0);
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
  const std::vector<uint32_t>& generated = transcript_.tokens();
  engine_request.mutable_generated()->Add(generated.begin(), generated.end());
  *engine_request.mutable_sampling() = ToProto(request_.sampling);
  engine_request.set_priority(request_.priority);
  engine_request.set_cache_salt(request_.cache_salt);
  engine_request.set_tenant(request_.tenant);
  if (request_.slo.ttft != absl::InfiniteDuration()) {
    engine_request.set_due_unix_us(absl::ToUnixMicros(request_.arrival + request_.slo.ttft));
  }
  engine_request.set_arrival_unix_us(absl::ToUnixMicros(request_.arrival));
  return engine_request;
}

WorkerCall::Callbacks Generation::CallbacksFor(Source source) {
  return {.on_event =
              [self = shared_from_this(), source, attempt = attempt_](v1::TokenEvent event) {
                if (attempt == self->attempt_) self->OnEvent(source, std::move(event));
              },
          .on_done =
              [self = shared_from_this(), source, attempt = attempt_](const absl::Status& status) {
                --self->num_open_calls_;
                if (attempt != self->attempt_) return self->CompleteIfLeft();
                self->OnDone(source, status);
              }};
}

bool Generation::MustWait(Source source, const v1::TokenEvent& event) const {
  if (source == Source::kPrefill || prefill_.call == nullptr) return false;
  if (event.tokens().empty()) return !has_first_token();
  return event.index() > transcript_.num_tokens();
}

void Generation::OnEvent(Source source, v1::TokenEvent event) {
  if (listener_ == nullptr) return leg(source).call->Cancel();
  if (event.leaving()) {
    Leave(source);
    return ReadOn(source);
  }
  if (MustWait(source, event)) {
    leg(source).waiting = std::move(event);
    return;
  }
  Handle(source, event);
  if (source == Source::kDecode || listener_ == nullptr) return;
  if (decode_.is_over && has_first_token()) return Fail(Source::kDecode, absl::OkStatus());
  // The first token is through: decode's second may have come before it.
  if (decode_.waiting && !MustWait(Source::kDecode, *decode_.waiting)) {
    const v1::TokenEvent waiting = *std::exchange(decode_.waiting, std::nullopt);
    Handle(Source::kDecode, waiting);
  }
}

void Generation::Handle(Source source, const v1::TokenEvent& event) {
  const absl::Time arrived = absl::Now();
  if (event.finish_reason() != v1::FINISH_REASON_UNSPECIFIED) leg(source).is_finished = true;
  TakeStats(source, event);
  const int num_tokens_before = transcript_.num_tokens();
  GenerationDelta delta = transcript_.Take(event);
  if (transcript_.num_tokens() > num_tokens_before) num_failures_ = 0;
  summary_.ending = transcript_.ending();
  if (!request_.is_prompt_only) summary_.num_completion_tokens = transcript_.num_tokens();
  TakeTimes(event, arrived, delta);
  // The listener may let go of itself while it handles the end.
  const std::shared_ptr<GenerationListener> listener = listener_;
  if (!delta.tokens.empty() || !delta.prompt_logprobs.empty() || !delta.text.empty()) {
    listener->OnDelta(sample_, std::move(delta));
  }
  if (summary_.ending.reason == FinishReason::kNone) {
    if (event.finish_reason() == v1::FINISH_REASON_ABORTED) {
      return Fail(source, absl::AbortedError("the request was aborted"));
    }
    return ReadOn(source);
  }
  End(absl::OkStatus());
}

void Generation::TakeStats(Source source, const v1::TokenEvent& event) {
  if (source == Source::kPrefill || !route_.has_prefill()) {
    if (attempt_ == 0) {
      summary_.num_cached_tokens = std::max(summary_.num_cached_tokens, event.cached_tokens());
    }
  }
  if (source == Source::kDecode && event.has_stats()) {
    summary_.kv_bytes += event.stats().kv_bytes();
    if (event.stats().recomputed()) {
      if (attempt_ == 0) summary_.path = "recomputed";
      services_.metrics.CountFallback("recomputed");
    }
  }
}

void Generation::TakeTimes(const v1::TokenEvent& event, absl::Time arrived,
                           GenerationDelta& delta) {
  const auto num_tokens = static_cast<int>(delta.tokens.size());
  if (num_tokens > 0 || !delta.text.empty()) {
    const absl::Time now = absl::Now();
    latency_meter_.Take(num_tokens, !delta.text.empty(), now);
    summary_.latency = latency_meter_.latency();
    if (num_tokens == summary_.num_completion_tokens) {
      stage_timer_.TakeFirstToken(event.times(), arrived, now);
      summary_.first_token_stages = stage_timer_.first_token();
      services_.metrics.ObserveFirstToken(summary_.latency.ttft, summary_.first_token_stages);
      delta.first_token_stages = summary_.first_token_stages;
    } else if (num_tokens > 0) {
      if (num_tokens + 1 == summary_.num_completion_tokens) {
        stage_timer_.TakeSecondToken(event.times(), now);
        summary_.second_token_stages = stage_timer_.second_token();
        services_.metrics.ObserveSecondToken(summary_.second_token_stages,
                                             attempt_ == 0 && route_.has_prefill());
      }
      services_.metrics.ObserveInterTokenGap(now - last_token_time_);
    }
    if (num_tokens > 0) last_token_time_ = now;
  }
  delta.latency = summary_.latency;
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

void Generation::OnDone(Source source, const absl::Status& status) {
  leg(source).call = nullptr;
  leg(source).is_over = true;
  if (listener_ == nullptr) return CompleteIfLeft();
  if (source == Source::kPrefill) {
    // Once the first token is here, whether its KV arrives is between the workers: decode
    // recomputes it or fails.
    if (has_first_token() && decode_.call != nullptr) return;
  } else if (status.ok() && !has_first_token() && prefill_.call != nullptr) {
    return;  // prefill's first token should end the request: nothing is left to decode
  }
  Fail(source, status);
}

void Generation::Fail(Source source, absl::Status status) {
  const bool is_lost = status.ok() || IsWorkerLost(status);
  if (status.ok()) status = absl::InternalError("ended its stream before the answer was complete");
  last_failure_ =
      ToClientStatus(status, source == Source::kPrefill ? "prefill" : "decode", instance(source));
  if (!is_lost || ++num_failures_ > kMaxFailuresInARow) return End(last_failure_);
  Migrate(source);
}

void Generation::Migrate(Source source) {
  LOG(WARNING) << "request_id=" << route_.request_id()
               << " client_request_id=" << request_.client_request_id << " goes on elsewhere after "
               << transcript_.num_tokens() << " tokens: " << last_failure_.ToString();
  Avoid(source);
  BeginNextAttempt();
  give_up_ = absl::Now() + services_.replay_timeout;
  if (is_routing_) return;  // other workers were asked for already
  // At once the first time; a worker that fails again and again is not asked in a tight loop.
  AskForRouteIn(kRouteRetryDelay * (num_failures_ - 1));
}

void Generation::Leave(Source source) {
  Avoid(source);
  if (std::exchange(is_leaving_, true)) return;
  AskForRoute();
}

void Generation::Avoid(Source source) {
  const v1::WorkerTarget& worker = source == Source::kPrefill ? route_.prefill() : route_.decode();
  v1::WorkerIncarnation& incarnation = lost_workers_.emplace_back();
  incarnation.set_instance_id(worker.instance_id());
  incarnation.set_epoch(worker.epoch());
}

void Generation::BeginNextAttempt() {
  if (attempt_++ == 0) services_.metrics.CountFallback("migrated");
  is_leaving_ = false;
  for (Leg* leg : {&prefill_, &decode_}) {
    if (leg->call != nullptr) leg->call->Cancel();
    *leg = Leg();
  }
  num_earlier_tokens_ = transcript_.num_tokens();
  stage_timer_.AskForRoute(absl::Now());
}

void Generation::AskForRouteIn(absl::Duration delay) {
  route_again_ = strand_->RunAfter(delay, [self = shared_from_this()] { self->AskForRoute(); });
}

void Generation::Cancel() {
  listener_ = nullptr;
  route_again_ = nullptr;
  for (Leg* leg : {&prefill_, &decode_}) {
    if (leg->call != nullptr) leg->call->Cancel();
  }
  CompleteIfLeft();
}

void Generation::End(const absl::Status& status) {
  if (const auto listener = std::exchange(listener_, nullptr)) {
    outcome_ = status.ok() ? v1::RequestReport::SERVED : v1::RequestReport::FAILED;
    route_again_ = nullptr;
    // To refuse costs little, and comes in bursts.
    if (!status.ok() && !absl::IsResourceExhausted(status)) {
      LOG(WARNING) << "generation failed request_id=" << route_.request_id()
                   << " client_request_id=" << request_.client_request_id
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
  if (!is_routed_ || is_routing_ || listener_ != nullptr || num_open_calls_ > 0) return;
  is_routed_ = false;
  services_.scheduler.Complete(MakeCompletion(route_.request_id(), outcome_, summary_));
}

}  // namespace tandem
