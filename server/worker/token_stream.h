// One server-streaming call (Prefill or Decode) as a thread-safe sink of token events.
#pragma once

#include <grpcpp/grpcpp.h>

#include <deque>
#include <functional>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "proto/worker.pb.h"

namespace tandem {

// Lives until gRPC has finished with the call and its owners have let go. The queue is bounded by
// the request's max_tokens.
class TokenStream : public grpc::ServerWriteReactor<v1::TokenEvent>,
                    public std::enable_shared_from_this<TokenStream> {
 public:
  static std::shared_ptr<TokenStream> Create();

  // Called once, from gRPC's thread, when the client has cancelled or gone before Finish; at once
  // where that has happened already. Must not block.
  void OnAbandoned(std::function<void()> callback);

  void Send(v1::TokenEvent event);
  // Ends the call after all that was sent. Only the first one counts.
  void Close(const grpc::Status& status);

 private:
  TokenStream() = default;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;
  void Advance() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  absl::Mutex mutex_;
  std::deque<v1::TokenEvent> queue_
      ABSL_GUARDED_BY(mutex_);  // front is being written while writing_
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::Status status_ ABSL_GUARDED_BY(mutex_);
  std::function<void()> on_abandoned_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<TokenStream> self_ ABSL_GUARDED_BY(mutex_);  // gRPC's reference, until OnDone
};

}  // namespace tandem
