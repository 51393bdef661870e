#include "server/worker/kv_source_call.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "server/grpc_status.h"
#include "server/worker/convert.h"
#include "server/worker/kv_messages.h"

namespace tandem {
namespace {

// How long KV is kept for a puller whose stream broke.
constexpr absl::Duration kRetryTime = absl::Seconds(1);

}  // namespace

std::shared_ptr<KvSourceCall> KvSourceCall::Start(const KvSourceContext& context) {
  std::shared_ptr<KvSourceCall> call(new KvSourceCall(context));
  {
    absl::MutexLock lock(&call->mutex_);
    call->self_ = call;
  }
  call->StartRead(&call->incoming_);
  return call;
}

void KvSourceCall::OnReadDone(bool ok) {
  if (!ok) return;  // half-closed or broken: OnCancel says so
  absl::StatusOr<v1::PullKvRequest> request = DecodePullKvRequest(incoming_);
  const absl::Status status = request.ok() ? OnRequest(*request) : request.status();
  if (!status.ok()) return End(ToGrpc(status));
  {
    absl::MutexLock lock(&mutex_);
    if (ended_) return;
  }
  StartRead(&incoming_);
}

absl::Status KvSourceCall::OnRequest(const v1::PullKvRequest& request) {
  if (request.has_pull()) return OnPull(request.pull());
  absl::MutexLock lock(&mutex_);
  if (ended_) return absl::OkStatus();  // a Renew must not undo what OnCancel has done
  if (kv_ == nullptr) return absl::FailedPreconditionError("the first message must be a Pull");
  if (request.has_ready()) {
    if (ready_from_) return absl::FailedPreconditionError("a second Ready");
    ready_from_ = request.ready().token_begin();
    if (*ready_from_ < 0) return absl::InvalidArgumentError("negative token_begin");
    std::fill(queued_tokens_.begin(), queued_tokens_.end(), *ready_from_);
  } else if (request.has_resend()) {
    const auto& resend = request.resend();
    const int num_layers = static_cast<int>(queued_tokens_.size());
    if (!ready_from_ || resend.token_begin() < *ready_from_ || resend.layer() < 0 ||
        resend.layer() >= num_layers || resend.token_end() > queued_tokens_[resend.layer()] ||
        resend.token_begin() >= resend.token_end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("a Resend of what was not sent: ", resend.ShortDebugString()));
    }
    queue_.push_front(
        {.layer = resend.layer(),
         .component = resend.component() == 0 ? KvComponent::kKeys : KvComponent::kValues,
         .token_begin = resend.token_begin(),
         .token_end = resend.token_end()});
    complete_sent_ = false;
  } else if (request.has_done()) {
    released_ = true;
    context_.loop->Post([id = id_, attempt = attempt_](StepLoop::Context& context) {
      context.scheduler.Release(id, attempt, context.now);
    });
  }
  if (request.has_renew()) {
    SetLease(context_.lease);
    return absl::OkStatus();
  }
  SchedulePump();
  return absl::OkStatus();
}

void KvSourceCall::SetLease(absl::Duration lease) {
  context_.loop->Post([self = shared_from_this(), kv = kv_, id = id_, attempt = attempt_,
                       lease](StepLoop::Context& context) {
    // The end of a broken stream may be heard of after the pull that replaces it.
    if (!kv->IsOwner(self.get())) return;
    context.scheduler.SetLease(id, attempt, context.now + lease);
  });
}

absl::Status KvSourceCall::OnPull(const v1::PullKvRequest::Pull& pull) {
  if (pull.source_epoch() != context_.epoch) {
    return absl::FailedPreconditionError(absl::StrCat(
        "epoch ", pull.source_epoch(), " has ended; this worker's is ", context_.epoch));
  }
  ASSIGN_OR_RETURN(const KvLayout puller, FromProto(pull.layout()));
  RETURN_IF_ERROR(puller.CheckCanReceive(context_.cache->layout()));
  std::shared_ptr<OutgoingKv> kv;
  {
    absl::MutexLock lock(&mutex_);
    if (kv_ != nullptr) return absl::FailedPreconditionError("a second Pull");
    id_ = RequestId(pull.request_id());
    attempt_ = pull.attempt();
    kv_ = context_.table->FindOrCreate(id_, attempt_);
    queued_tokens_.assign(context_.cache->layout().num_layers, 0);
    kv = kv_;
  }
  kv->SetListener(this, [weak = weak_from_this()] {
    if (const auto call = weak.lock()) {
      absl::MutexLock lock(&call->mutex_);
      call->SchedulePump();
    }
  });
  absl::MutexLock lock(&mutex_);
  if (ended_) return absl::OkStatus();
  SetLease(context_.lease);
  SchedulePump();
  return absl::OkStatus();
}

void KvSourceCall::SchedulePump() {
  if (pump_posted_ || ended_) return;
  pump_posted_ = true;
  context_.sender->Post([self = shared_from_this()] { self->Pump(); });
}

void KvSourceCall::Pump() {
  std::shared_ptr<OutgoingKv> kv;
  {
    absl::MutexLock lock(&mutex_);
    pump_posted_ = false;
    if (ended_ || kv_ == nullptr || (ready_message_ && !released_)) return;
    kv = kv_;
  }
  const OutgoingKv::Snapshot snapshot = kv->Get();
  grpc::Status end = ToGrpc(snapshot.status);
  std::optional<Next> next;
  KvFrameHeader header;
  {
    absl::MutexLock lock(&mutex_);
    if (end.ok() && !released_) {
      next = TakeNext(snapshot);
      if (!next) return;
      if (next->range) header = MakeHeader(*next->range);
    } else if (writing_) {
      return;  // and come again when that is done
    }
  }
  if (!next) return End(end);
  if (next->range) {  // not under the lock: gRPC's threads must not wait for a checksum
    const Range& range = *next->range;
    next->message = EncodeKvFrame(
        header, context_.cache->Read(range.layer, range.component, snapshot.block_table,
                                     range.token_begin, range.token_end));
    context_.counters->bytes_sent += header.payload_bytes;
  }
  absl::MutexLock lock(&mutex_);
  if (ended_) return;
  ready_message_ = std::move(next->message);
  if (!writing_) StartNextWrite();
}

void KvSourceCall::StartNextWrite() {
  outgoing_ = *std::exchange(ready_message_, std::nullopt);
  writing_ = true;
  StartWrite(&outgoing_);
  SchedulePump();
}

std::optional<KvSourceCall::Next> KvSourceCall::TakeNext(const OutgoingKv::Snapshot& kv) {
  if (!kv.begun) return std::nullopt;
  if (!begun_sent_) {
    begun_sent_ = true;
    v1::KvEvent event;
    event.mutable_begun()->set_num_tokens(kv.num_tokens);
    return Next{.message = EncodeKvEvent(event)};
  }
  if (!ready_from_) return std::nullopt;
  QueueStored(kv);
  if (!queue_.empty()) {
    const Range range = queue_.front();
    queue_.pop_front();
    ++num_frames_;
    return Next{.range = range};
  }
  const bool all_sent = std::all_of(queued_tokens_.begin(), queued_tokens_.end(),
                                    [&kv](int tokens) { return tokens >= kv.num_tokens; });
  if (!all_sent || !kv.first_token || complete_sent_) return std::nullopt;
  complete_sent_ = true;
  v1::KvEvent event;
  auto* complete = event.mutable_complete();
  complete->set_first_token(*kv.first_token);
  complete->set_num_frames(num_frames_);
  complete->set_finished(kv.finished);
  return Next{.message = EncodeKvEvent(event)};
}

// Cuts what has been stored since the last call into ranges of one frame each.
void KvSourceCall::QueueStored(const OutgoingKv::Snapshot& kv) {
  const int64_t token_bytes = context_.cache->layout().TokenBytes();
  const int max_tokens =
      static_cast<int>(std::max<int64_t>(1, kMaxFramePayloadBytes / token_bytes));
  for (size_t layer = 0; layer < queued_tokens_.size(); ++layer) {
    while (queued_tokens_[layer] < kv.layer_tokens[layer]) {
      const int begin = queued_tokens_[layer];
      const int end = std::min(kv.layer_tokens[layer], begin + max_tokens);
      for (KvComponent component : {KvComponent::kKeys, KvComponent::kValues}) {
        queue_.push_back({static_cast<int>(layer), component, begin, end});
      }
      queued_tokens_[layer] = end;
    }
  }
}

KvFrameHeader KvSourceCall::MakeHeader(const Range& range) const {
  const KvLayout& layout = context_.cache->layout();
  return {.component = range.component,
          .request_id = id_.value(),
          .attempt = attempt_,
          .epoch = context_.epoch,
          .dtype = layout.dtype,
          .layer = static_cast<uint32_t>(range.layer),
          .token_begin = static_cast<uint32_t>(range.token_begin),
          .token_end = static_cast<uint32_t>(range.token_end),
          .head_begin = 0,
          .head_end = static_cast<uint32_t>(layout.num_kv_heads),
          .payload_bytes =
              static_cast<uint64_t>(layout.TokenBytes() * (range.token_end - range.token_begin))};
}

void KvSourceCall::OnWriteDone(bool ok) {
  absl::MutexLock lock(&mutex_);
  writing_ = false;
  if (!ok || ended_) return;
  if (ready_message_ && !released_) return StartNextWrite();
  SchedulePump();
}

void KvSourceCall::End(const grpc::Status& status) {
  absl::MutexLock lock(&mutex_);
  EndLocked(status);
}

void KvSourceCall::EndLocked(const grpc::Status& status) {
  if (!std::exchange(ended_, true)) Finish(status);
}

// The stream is broken. The puller asks once more in a moment, or never.
void KvSourceCall::OnCancel() {
  absl::MutexLock lock(&mutex_);
  if (kv_ != nullptr && !released_) SetLease(kRetryTime);
  EndLocked(grpc::Status::CANCELLED);
}

void KvSourceCall::OnDone() {
  std::shared_ptr<OutgoingKv> kv;
  std::shared_ptr<KvSourceCall> self;  // both outlive the lock
  {
    absl::MutexLock lock(&mutex_);
    kv = std::move(kv_);
    self = std::move(self_);
  }
  if (kv != nullptr) kv->DropListener(this);
}

}  // namespace tandem
