#include "server/worker/kv_puller.h"

#include <grpcpp/generic/generic_stub.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/core/log.h"
#include "engine/core/status_macros.h"
#include "server/grpc_status.h"
#include "server/worker/convert.h"
#include "server/worker/kv_messages.h"

namespace tandem {
namespace {

// A small part of the shortest lease that makes sense.
constexpr absl::Duration kRenewalInterval = absl::Seconds(1);

// So that one frame arrives while another is copied and checked.
constexpr int kMaxUnhandled = 2;

}  // namespace

std::shared_ptr<KvPuller> KvPuller::Start(const KvPull& pull,
                                          const std::shared_ptr<grpc::Channel>& channel,
                                          std::shared_ptr<KvPullListener> listener) {
  std::shared_ptr<KvPuller> puller(new KvPuller(pull, std::move(listener)));
  {
    absl::MutexLock lock(&puller->mutex_);
    puller->self_ = puller;
  }
  grpc::TemplatedGenericStub<grpc::ByteBuffer, grpc::ByteBuffer> stub(channel);
  stub.PrepareBidiStreamingCall(puller->context_.get(), "/tandem.v1.Worker/PullKv",
                                grpc::StubOptions(), puller.get());
  v1::PullKvRequest request;
  auto* message = request.mutable_pull();
  message->set_request_id(pull.id.value());
  message->set_attempt(pull.attempt);
  message->set_source_epoch(pull.source_epoch);
  message->set_puller_epoch(pull.puller_epoch);
  *message->mutable_layout() = ToProto(pull.cache->layout());
  puller->AddHold();
  puller->Write(request);
  puller->StartRead(&puller->incoming_);
  puller->StartCall();
  pull.open->Add(puller->context_);
  puller->RenewLater();
  return puller;
}

KvPuller::~KvPuller() { pull_.open->Remove(std::move(context_)); }

void KvPuller::Ready(KvReceipt::Reservation reservation) {
  pull_.receiver->Post([self = shared_from_this(), reservation = std::move(reservation)] {
    self->receipt_ = std::make_unique<KvReceipt>(self->pull_, reservation);
    v1::PullKvRequest request;
    request.mutable_ready()->set_token_begin(reservation.token_begin);
    self->Write(request);
  });
}

void KvPuller::Cancel() {
  Settle();
  context_->TryCancel();
}

bool KvPuller::Settle() {
  absl::MutexLock lock(&mutex_);
  return !std::exchange(settled_, true);
}

void KvPuller::OnReadDone(bool ok) {
  if (!ok) return ReleaseHold();  // OnDone tells why
  grpc::ByteBuffer message;
  message.Swap(&incoming_);
  // A ByteBuffer cannot be moved; a copy has the same slices.
  pull_.receiver->Post([self = shared_from_this(), message] { self->OnMessage(message); });
  {
    absl::MutexLock lock(&mutex_);
    reading_ = ++num_unhandled_ < kMaxUnhandled && !failed_;
    if (!reading_) return;
  }
  StartRead(&incoming_);
}

void KvPuller::OnMessage(const grpc::ByteBuffer& message) {
  {
    absl::MutexLock lock(&mutex_);
    if (failed_) return;
  }
  const absl::Status status = IsKvEvent(message) ? OnEvent(message) : OnFrame(message);
  if (!status.ok()) return Fail(status);
  {
    absl::MutexLock lock(&mutex_);
    --num_unhandled_;
    if (std::exchange(reading_, true)) return;
  }
  StartRead(&incoming_);
}

absl::Status KvPuller::OnEvent(const grpc::ByteBuffer& message) {
  ASSIGN_OR_RETURN(const v1::KvEvent event, DecodeKvEvent(message));
  if (event.has_begun()) {
    listener_->OnBegun();
  } else if (event.has_complete() && event.complete().finished()) {
    if (Settle()) listener_->OnNothingToDo();
    context_->TryCancel();
  } else if (event.has_complete()) {
    // Nothing overtakes on a stream: what has not come by now is lost.
    const int64_t num_lost = event.complete().num_frames() - num_frames_;
    if (num_lost > 0) {
      pull_.counters->bad_frames += num_lost;
      return absl::DataLossError(absl::StrCat(num_lost, " KV frames were lost"));
    }
    complete_received_ = true;
    first_token_ = static_cast<TokenId>(event.complete().first_token());
    CompleteIfWhole();
  } else {
    return absl::DataLossError("a KV event without content");
  }
  return absl::OkStatus();
}

absl::Status KvPuller::OnFrame(const grpc::ByteBuffer& message) {
  if (receipt_ == nullptr) return absl::DataLossError("a KV frame before Ready");
  const absl::StatusOr<KvReceipt::Placed> placed = receipt_->Place(DumpSlices(message));
  if (!placed.ok()) ++pull_.counters->bad_frames;
  RETURN_IF_ERROR(placed.status());
  pull_.counters->bytes_received += placed->bytes;
  if (placed->duplicate) {
    ++pull_.counters->bad_frames;
    return absl::OkStatus();
  }
  ++num_frames_;
  if (placed->intact) {
    CompleteIfWhole();
    return absl::OkStatus();
  }
  ++pull_.counters->bad_frames;
  LOG(WARNING) << "damaged KV frame of request_id=" << pull_.id << " layer " << placed->layer
               << ": asking for it again";
  v1::PullKvRequest again;
  again.mutable_resend()->set_layer(placed->layer);
  again.mutable_resend()->set_component(static_cast<int>(placed->component));
  again.mutable_resend()->set_token_begin(placed->token_begin);
  again.mutable_resend()->set_token_end(placed->token_end);
  Write(again);
  return absl::OkStatus();
}

void KvPuller::CompleteIfWhole() {
  if (!complete_received_ || receipt_ == nullptr || !receipt_->whole() || !Settle()) return;
  listener_->OnComplete(first_token_, receipt_->bytes());
  v1::PullKvRequest request;
  request.mutable_done();
  Write(request);
}

void KvPuller::Fail(const absl::Status& status) {
  {
    absl::MutexLock lock(&mutex_);
    failed_ = true;
  }
  if (Settle()) listener_->OnFailed(status);
  context_->TryCancel();
  ReleaseHold();
}

void KvPuller::ReleaseHold() {
  {
    absl::MutexLock lock(&mutex_);
    if (!std::exchange(has_hold_, false)) return;
  }
  RemoveHold();
}

void KvPuller::RenewLater() {
  // An alarm of its own each time: one cannot be set again from within its callback.
  auto alarm = std::make_unique<grpc::Alarm>();
  alarm->Set(absl::ToChronoTime(absl::Now() + kRenewalInterval),
             [weak = weak_from_this()](bool has_expired) {
               const auto self = has_expired ? weak.lock() : nullptr;
               if (self != nullptr) self->Renew();
             });
  absl::MutexLock lock(&mutex_);
  renewal_ = std::move(alarm);
}

void KvPuller::Renew() {
  {
    absl::MutexLock lock(&mutex_);
    if (settled_ || !has_hold_) return;
  }
  v1::PullKvRequest request;
  request.mutable_renew();
  Write(request);
  RenewLater();
}

void KvPuller::Write(const v1::PullKvRequest& request) {
  absl::MutexLock lock(&mutex_);
  if (!has_hold_) return;
  writes_.push_back(EncodePullKvRequest(request));
  if (std::exchange(writing_, true)) return;
  StartWrite(&writes_.front());
}

void KvPuller::OnWriteDone(bool ok) {
  absl::MutexLock lock(&mutex_);
  writing_ = false;
  writes_.pop_front();
  if (!ok || writes_.empty()) return;
  writing_ = true;
  StartWrite(&writes_.front());
}

void KvPuller::OnDone(const grpc::Status& status) {
  // After the frames that came before.
  pull_.receiver->Post([self = shared_from_this(), status] {
    if (self->Settle()) {
      self->listener_->OnFailed(status.ok() ? absl::UnavailableError("the KV stream ended early")
                                            : FromGrpc(status));
    }
    self->listener_->OnEnded();
  });
  std::shared_ptr<KvPuller> self;  // outlives the lock
  absl::MutexLock lock(&mutex_);
  self = std::move(self_);
}

}  // namespace tandem
