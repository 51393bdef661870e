// A request on this worker, between its call, the step loop and the KV stream.
#pragma once

#include <memory>

#include "absl/time/time.h"
#include "server/worker/kv_puller.h"
#include "server/worker/outgoing_kv.h"
#include "server/worker/step_loop.h"
#include "server/worker/token_stream.h"

namespace tandem {

// Turns events into messages of the request's stream and measures its stages. Loop thread only.
class TokenEventWriter {
 public:
  TokenEventWriter(std::shared_ptr<TokenStream> stream, absl::Time accepted)
      : stream_(std::move(stream)), accepted_(accepted) {}

  // Sends tokens, prompt logprobs and the end that `events` hold, as one message if there are any.
  void Write(absl::Span<const Event> events, absl::Time now);

  // Fields of the last message that the events do not know.
  v1::RequestStats& stats() { return stats_; }

 private:
  const std::shared_ptr<TokenStream> stream_;
  const absl::Time accepted_;
  absl::Time begun_ = absl::InfinitePast();
  int num_cached_ = 0;  // prompt tokens, until they are told
  v1::RequestStats stats_;
};

// Prefill call: streams the first token and keeps the prompt's KV until it is pulled. The call
// stays open as long as this worker holds something of the request.
class PrefillSession : public RequestSink {
 public:
  PrefillSession(std::shared_ptr<TokenStream> stream, std::shared_ptr<OutgoingKv> kv,
                 absl::Time accepted)
      : writer_(stream, accepted), stream_(std::move(stream)), kv_(std::move(kv)) {}

  void OnRefused(const absl::Status& status) override;
  void OnEvents(absl::Span<const Event> events, absl::Time now) override;
  void OnLayerStored(int layer, int num_tokens) override { kv_->SetLayerTokens(layer, num_tokens); }

 private:
  TokenEventWriter writer_;
  const std::shared_ptr<TokenStream> stream_;
  const std::shared_ptr<OutgoingKv> kv_;
};

// Decode call, with or without KV to pull.
class DecodeSession : public RequestSink,
                      public KvPullListener,
                      public std::enable_shared_from_this<DecodeSession> {
 public:
  DecodeSession(std::shared_ptr<TokenStream> stream, StepLoop* loop, RequestId id, uint32_t attempt,
                absl::Time accepted)
      : writer_(stream, accepted),
        stream_(std::move(stream)),
        loop_(loop),
        id_(id),
        attempt_(attempt) {}

  // Begins to pull, unless the request has ended already. After it was submitted, so that what the
  // source says reaches the scheduler after the request.
  void StartPull(const KvPull& pull, const std::shared_ptr<grpc::Channel>& channel);

  // RequestSink, on the loop's thread.
  void OnRefused(const absl::Status& status) override;
  void OnEvents(absl::Span<const Event> events, absl::Time now) override;

  // KvPullListener.
  void OnBegun() override;
  void OnComplete(TokenId first_token, int64_t bytes, absl::Time prefill_end) override;
  void OnNothingToDo() override;
  void OnFailed(const absl::Status& status) override;
  void OnEnded() override;

 private:
  void CancelPull();

  TokenEventWriter writer_;  // loop thread
  const std::shared_ptr<TokenStream> stream_;
  StepLoop* const loop_;
  const RequestId id_;
  const uint32_t attempt_;

  absl::Mutex mutex_;
  std::shared_ptr<KvPuller> puller_ ABSL_GUARDED_BY(mutex_);  // until OnEnded
  bool pull_cancelled_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace tandem
