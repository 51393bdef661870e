#include "server/worker/request_session.h"

#include <utility>

#include "absl/time/clock.h"
#include "engine/core/log.h"
#include "server/grpc_status.h"
#include "server/worker/convert.h"
#include "server/worker/kv_messages.h"

namespace tandem {
namespace {

// Of one transfer, before the prompt is computed here instead.
constexpr int kMaxRetries = 1;

}  // namespace

void TokenEventWriter::Write(absl::Span<const Event> events, const EventTime& time) {
  v1::TokenEvent message;
  bool any = false;
  for (const Event& event : events) {
    switch (event.kind) {
      case EventKind::kBegun:
        begun_ = time.now;
        num_cached_ = event.num_cached_tokens;
        break;
      case EventKind::kToken:
        if (message.tokens().empty()) message.set_index(event.index);
        *message.add_tokens() = ToProto(event.token);
        any = true;
        break;
      case EventKind::kPromptLogprobs:
        for (const PromptLogprob& logprob : event.prompt_logprobs) {
          *message.add_prompt_logprobs() = ToProto(logprob);
        }
        any = true;
        break;
      case EventKind::kFinished:
        message.set_finish_reason(ToProto(event.reason));
        if (event.stop_token) message.set_stop_token(*event.stop_token);
        any = true;
        break;
      default:
        break;
    }
  }
  if (any) {
    // Not with the last one: the client's stop string may end the call before that.
    if (stats_) *message.mutable_stats() = *std::exchange(stats_, std::nullopt);
    if (!message.tokens().empty() && message.index() <= 1) {
      *message.mutable_times() = Times(message.index(), time.step_begin);
    }
    message.set_cached_tokens(std::exchange(num_cached_, 0));
    stream_->Send(std::move(message));
  }
  const Event& last = events.back();
  if (last.kind == EventKind::kFailed) return stream_->Close(ToGrpc(last.status));
  if (last.kind == EventKind::kLeaseExpired) {
    return stream_->Close(grpc::Status(grpc::StatusCode::ABORTED,
                                       "nobody pulled the prompt's KV before its lease ended"));
  }
  if (IsTerminal(last.kind)) stream_->Close(grpc::Status::OK);
}

void TokenEventWriter::KvReady(int64_t num_bytes, absl::Time time) {
  kv_ready_ = time;
  stats_.emplace().set_kv_bytes(num_bytes);
}

void TokenEventWriter::Recomputed() { stats_.emplace().set_recomputed(true); }

void TokenEventWriter::WriteLeaving() {
  v1::TokenEvent message;
  message.set_leaving(true);
  stream_->Send(std::move(message));
}

v1::StageTimes TokenEventWriter::Times(int index, absl::Time step_begin) {
  const absl::Time now = absl::Now();
  if (index == 0) kv_ready_ = now;
  v1::StageTimes times;
  times.set_accepted_unix_us(absl::ToUnixMicros(accepted_));
  times.set_begun_unix_us(absl::ToUnixMicros(begun_));
  times.set_kv_ready_unix_us(absl::ToUnixMicros(kv_ready_));
  times.set_step_begin_unix_us(absl::ToUnixMicros(step_begin));
  times.set_sent_unix_us(absl::ToUnixMicros(now));
  return times;
}

void PrefillSession::OnRefused(const absl::Status& status) {
  stream_->Close(ToGrpc(status));
  kv_->Fail(status);
}

void PrefillSession::OnEvents(absl::Span<const Event> events, const EventTime& time) {
  writer_.Write(events, time);
  const Event& last = events.back();
  for (const Event& event : events) {
    if (event.kind == EventKind::kBegun) {
      kv_->Begin(event.num_tokens, event.block_table, event.num_cached_tokens);
    }
    if (event.kind == EventKind::kToken) {
      kv_->SetFirstToken(event.token.token, last.kind == EventKind::kFinished);
    }
  }
  if (last.kind == EventKind::kFailed) kv_->Fail(last.status);
  if (last.kind == EventKind::kLeaseExpired)
    kv_->Fail(absl::AbortedError("the KV's lease has ended"));
  if (last.kind == EventKind::kFinished && last.reason == FinishReason::kAborted) {
    kv_->Fail(absl::CancelledError("the request was aborted"));
  }
}

void DecodeSession::StartPull(const KvPull& pull, const std::string& address,
                              const std::shared_ptr<grpc::Channel>& channel) {
  absl::MutexLock lock(&mutex_);
  if (pull_cancelled_) return;
  pull_ = pull;
  address_ = address;
  puller_ = KvPuller::Start(pull, channel, shared_from_this());
}

void DecodeSession::OnRefused(const absl::Status& status) {
  stream_->Close(ToGrpc(status));
  CancelPull();
}

void DecodeSession::CancelPull() {
  absl::MutexLock lock(&mutex_);
  pull_cancelled_ = true;
  if (puller_ != nullptr) puller_->Cancel();
}

void DecodeSession::OnEvents(absl::Span<const Event> events, const EventTime& time) {
  writer_.Write(events, time);
  for (const Event& event : events) {
    if (event.kind != EventKind::kReserved) continue;
    absl::MutexLock lock(&mutex_);
    reservation_ = {event.block_table, event.num_cached_tokens, event.num_tokens};
    if (puller_ != nullptr && !retry_pending_) puller_->Ready(*reservation_);
  }
  if (IsTerminal(events.back().kind)) CancelPull();
}

void DecodeSession::OnBegun() {
  loop_->Post([id = id_, attempt = attempt_](StepLoop::Context& context) {
    context.scheduler.Begun(id, attempt, context.now);
  });
}

void DecodeSession::OnComplete(TokenId first_token, int64_t bytes) {
  loop_->Post([self = shared_from_this(), first_token, bytes,
               complete = absl::Now()](StepLoop::Context& context) {
    self->writer_.KvReady(bytes, complete);
    context.scheduler.Offer(
        {.id = self->id_, .attempt = self->attempt_, .first_token = first_token}, context.now);
  });
}

void DecodeSession::OnNothingToDo() {
  stream_->Close(grpc::Status::OK);
  loop_->Post([id = id_, attempt = attempt_](StepLoop::Context& context) {
    context.scheduler.Abort(id, attempt, context.now);
  });
}

void DecodeSession::OnFailed(const absl::Status& status) {
  {
    absl::MutexLock lock(&mutex_);
    // A broken stream or wrong bytes; everything else the source means.
    const bool may_pass = absl::IsUnavailable(status) || absl::IsDataLoss(status);
    if (may_pass && !pull_cancelled_ && num_retries_ < kMaxRetries) {
      ++num_retries_;
      ++pull_.counters->retries;
      retry_pending_ = true;
      LOG(WARNING) << "KV transfer of request_id=" << id_ << " failed (" << status.message()
                   << "): trying again";
      return;
    }
  }
  // Where the client has gone, this worker hears of it in a moment too.
  if (!absl::IsCancelled(status)) {
    LOG(WARNING) << "KV transfer of request_id=" << id_ << " failed (" << status.message()
                 << "): computing the prompt here";
  }
  loop_->Post([self = shared_from_this()](StepLoop::Context& context) {
    self->writer_.Recomputed();
    context.scheduler.Recompute(self->id_, self->attempt_, context.now);
  });
}

bool DecodeSession::RetryPull() {
  absl::MutexLock lock(&mutex_);
  puller_ = nullptr;
  if (!std::exchange(retry_pending_, false) || pull_cancelled_) return false;
  // A channel may go on handing out a connection for a moment after it broke.
  puller_ = KvPuller::Start(pull_, CreateKvChannel(address_), shared_from_this());
  if (reservation_) puller_->Ready(*reservation_);
  return true;
}

void DecodeSession::OnEnded() {
  if (RetryPull()) return;
  loop_->Post([id = id_, attempt = attempt_](StepLoop::Context& context) {
    context.scheduler.Fence(id, attempt, context.now);
  });
}

}  // namespace tandem
