// Decode worker's end of one PullKv stream: asks a prefill worker for a prompt's KV, verifies what
// comes and puts it into reserved blocks.
#pragma once

#include <grpcpp/alarm.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/support/client_callback.h>

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "engine/core/ids.h"
#include "engine/kv/kv_cache.h"
#include "proto/worker.pb.h"
#include "server/worker/kv_counters.h"
#include "server/worker/kv_receipt.h"
#include "server/worker/open_pulls.h"
#include "server/worker/task_thread.h"

namespace tandem {

// All that one pull is about. Pointers outlive the pull.
struct KvPull {
  RequestId id;
  uint32_t attempt = 0;
  uint64_t source_epoch = 0;
  uint64_t puller_epoch = 0;
  KvCache* cache = nullptr;
  TaskThread* receiver = nullptr;  // copies and checks frames: no work for gRPC's threads
  KvCounters* counters = nullptr;
  OpenPulls* open = nullptr;
};

// What a pull tells its owner, from gRPC's threads or the receiver; must not block.
class KvPullListener {
 public:
  virtual ~KvPullListener() = default;
  // The source has begun to compute the prompt: blocks are needed now (see Ready).
  virtual void OnBegun() = 0;
  // Every layer of every position is stored and verified.
  virtual void OnComplete(TokenId first_token, int64_t bytes) = 0;
  // The prefill worker's first token ended the request; there is nothing to pull.
  virtual void OnNothingToDo() = 0;
  // The transfer failed; nothing is written any more.
  virtual void OnFailed(const absl::Status& status) = 0;
  // The last call: no write into the blocks is under way or will be.
  virtual void OnEnded() = 0;
};

// Owned by gRPC until it is done, by the tasks it has posted, and by its owner. Counts as open
// until all of them have let go.
class KvPuller : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                 public std::enable_shared_from_this<KvPuller> {
 public:
  static std::shared_ptr<KvPuller> Start(const KvPull& pull,
                                         const std::shared_ptr<grpc::Channel>& channel,
                                         std::shared_ptr<KvPullListener> listener);
  ~KvPuller() override;

  // The prompt's blocks are reserved. Once, after OnBegun.
  void Ready(KvReceipt::Reservation reservation);

  // Ends the pull, wherever it is. OnFailed is not called; OnEnded follows.
  void Cancel();

 private:
  KvPuller(const KvPull& pull, std::shared_ptr<KvPullListener> listener)
      : pull_(pull), listener_(std::move(listener)) {}

  // gRPC's threads.
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

  // Receiver thread.
  void OnMessage(const grpc::ByteBuffer& message);
  absl::Status OnEvent(const grpc::ByteBuffer& message);
  absl::Status OnFrame(const grpc::ByteBuffer& message);
  void CompleteIfWhole();
  void Fail(const absl::Status& status);
  bool Settle();  // false where that has happened before

  // Dropped once the stream has ended.
  void Write(const v1::PullKvRequest& request);
  // Nothing more will be read, and nothing written.
  void ReleaseHold();
  // In a while, as long as the pull lasts.
  void RenewLater();
  void Renew();

  const KvPull pull_;
  const std::shared_ptr<KvPullListener> listener_;
  // Shared with pull_.open, which may be about to cancel it.
  std::shared_ptr<grpc::ClientContext> context_ = std::make_shared<grpc::ClientContext>();
  grpc::ByteBuffer incoming_;  // of the read under way

  // Receiver thread only.
  std::unique_ptr<KvReceipt> receipt_;  // from Ready on
  int64_t num_frames_ = 0;              // received, duplicates aside
  bool complete_received_ = false;
  TokenId first_token_ = 0;

  absl::Mutex mutex_;
  std::deque<grpc::ByteBuffer> writes_
      ABSL_GUARDED_BY(mutex_);  // front is under way while writing_
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  int num_unhandled_ ABSL_GUARDED_BY(mutex_) = 0;  // messages that wait for the receiver
  bool reading_ ABSL_GUARDED_BY(mutex_) = true;    // or the stream has nothing more
  bool failed_ ABSL_GUARDED_BY(mutex_) = false;    // no message counts any more
  bool settled_ ABSL_GUARDED_BY(mutex_) =
      false;  // complete, failed or cancelled: told at most once
  // Reads and writes are started outside gRPC's callbacks: the hold keeps OnDone away until then.
  bool has_hold_ ABSL_GUARDED_BY(mutex_) = true;
  std::unique_ptr<grpc::Alarm> renewal_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<KvPuller> self_ ABSL_GUARDED_BY(mutex_);  // gRPC's reference, until OnDone
};

}  // namespace tandem
