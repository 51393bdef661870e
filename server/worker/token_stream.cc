#include "server/worker/token_stream.h"

#include <utility>

namespace tandem {

std::shared_ptr<TokenStream> TokenStream::Create() {
  std::shared_ptr<TokenStream> stream(new TokenStream());
  absl::MutexLock lock(&stream->mutex_);
  stream->self_ = stream;
  return stream;
}

void TokenStream::OnAbandoned(std::function<void()> callback) {
  {
    absl::MutexLock lock(&mutex_);
    if (!cancelled_) {
      on_abandoned_ = std::move(callback);
      return;
    }
  }
  callback();
}

void TokenStream::Send(v1::TokenEvent event) {
  absl::MutexLock lock(&mutex_);
  if (closing_ || cancelled_) return;
  queue_.push_back(std::move(event));
  Advance();
}

void TokenStream::Close(const grpc::Status& status) {
  absl::MutexLock lock(&mutex_);
  if (closing_) return;
  closing_ = true;
  status_ = status;
  Advance();
}

// Starts the next operation if none is under way. gRPC never runs a reactor's callback inside
// Start..., so holding the mutex over it is safe.
void TokenStream::Advance() {
  if (writing_ || finished_) return;
  if (!queue_.empty() && !cancelled_) {
    writing_ = true;
    StartWrite(&queue_.front());
  } else if (closing_) {
    finished_ = true;
    Finish(status_);
  }
}

void TokenStream::OnWriteDone(bool ok) {
  absl::MutexLock lock(&mutex_);
  writing_ = false;
  queue_.pop_front();
  if (!ok) cancelled_ = true;
  Advance();
}

void TokenStream::OnCancel() {
  std::function<void()> callback;
  {
    absl::MutexLock lock(&mutex_);
    cancelled_ = true;
    if (!closing_) callback = std::exchange(on_abandoned_, nullptr);
    closing_ = true;
    status_ = grpc::Status::CANCELLED;
    Advance();
  }
  if (callback) callback();
}

void TokenStream::OnDone() {
  std::shared_ptr<TokenStream> self;  // outlives the lock
  absl::MutexLock lock(&mutex_);
  on_abandoned_ = nullptr;
  self = std::move(self_);
}

}  // namespace tandem
