// A request on this worker, between its call, the step loop and the KV stream.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

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
  void Write(absl::Span<const Event> events, const EventTime& time);

  // Another worker should go on with it.
  void WriteLeaving();

  // All KV of the prompt is here, for which `num_bytes` were sent.
  void KvReady(int64_t num_bytes, absl::Time time);

  // It did not come, and the prompt is computed here.
  void Recomputed();

 private:
  // For the event with output token `index`, which is sent now.
  v1::StageTimes Times(int index, absl::Time step_begin);

  const std::shared_ptr<TokenStream> stream_;
  const absl::Time accepted_;
  absl::Time begun_ = absl::UnixEpoch();
  absl::Time kv_ready_ = absl::UnixEpoch();
  int num_cached_ = 0;                     // prompt tokens, until they are told
  std::optional<v1::RequestStats> stats_;  // until they are told, with the next message
};

// Prefill call: streams the first token and keeps the prompt's KV until it is pulled. The call
// stays open as long as this worker holds something of the request.
class PrefillSession : public RequestSink {
 public:
  PrefillSession(std::shared_ptr<TokenStream> stream, std::shared_ptr<OutgoingKv> kv,
                 absl::Time accepted)
      : writer_(stream, accepted), stream_(std::move(stream)), kv_(std::move(kv)) {}

  void OnRefused(const absl::Status& status) override;
  void OnEvents(absl::Span<const Event> events, const EventTime& time) override;
  void OnLayerStored(int layer, int num_tokens) override { kv_->SetLayerTokens(layer, num_tokens); }
  void OnLeave() override { writer_.WriteLeaving(); }

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
  // `channel` leads to `address`, which is connected to anew should the transfer break.
  void StartPull(const KvPull& pull, const std::string& address,
                 const std::shared_ptr<grpc::Channel>& channel);

  // RequestSink, on the loop's thread.
  void OnRefused(const absl::Status& status) override;
  void OnEvents(absl::Span<const Event> events, const EventTime& time) override;
  void OnLeave() override { writer_.WriteLeaving(); }

  // KvPullListener.
  void OnBegun() override;
  void OnComplete(TokenId first_token, int64_t bytes) override;
  void OnNothingToDo() override;
  void OnFailed(const absl::Status& status) override;
  void OnEnded() override;

 private:
  void CancelPull();
  // Pulls once more if that may help. On the receiver's thread, once no write is under way.
  bool RetryPull();

  TokenEventWriter writer_;  // loop thread
  const std::shared_ptr<TokenStream> stream_;
  StepLoop* const loop_;
  const RequestId id_;
  const uint32_t attempt_;

  absl::Mutex mutex_;
  KvPull pull_ ABSL_GUARDED_BY(mutex_);
  std::string address_ ABSL_GUARDED_BY(mutex_);               // of the source
  std::shared_ptr<KvPuller> puller_ ABSL_GUARDED_BY(mutex_);  // until OnEnded
  std::optional<KvReceipt::Reservation> reservation_ ABSL_GUARDED_BY(mutex_);
  bool pull_cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  bool retry_pending_ ABSL_GUARDED_BY(mutex_) = false;  // from a failure to its end
  int num_retries_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace tandem
