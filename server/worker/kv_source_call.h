// Prefill worker's end of one PullKv stream: sends a prompt's KV layer by layer while it is being
// computed.
#pragma once

#include <grpcpp/grpcpp.h>

#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "engine/kv/kv_cache.h"
#include "engine/kv/kv_frame.h"
#include "proto/worker.pb.h"
#include "server/worker/kv_counters.h"
#include "server/worker/outgoing_kv.h"
#include "server/worker/step_loop.h"
#include "server/worker/task_thread.h"

namespace tandem {

// What every stream of a worker uses; all outlive the gRPC server.
struct KvSourceContext {
  const KvCache* cache;
  OutgoingKvTable* table;
  StepLoop* loop;
  TaskThread* sender;  // builds frames: checksums are no work for gRPC's threads
  KvCounters* counters;
  uint64_t epoch;
  absl::Duration lease;  // on KV that waits to be pulled
};

// Owned by gRPC until OnDone, and by the tasks it has posted.
class KvSourceCall : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                     public std::enable_shared_from_this<KvSourceCall> {
 public:
  static std::shared_ptr<KvSourceCall> Start(const KvSourceContext& context);

 private:
  // A range of one layer's keys or values that is to be sent.
  struct Range {
    int layer;
    KvComponent component;
    int token_begin;
    int token_end;
  };

  explicit KvSourceCall(const KvSourceContext& context) : context_(context) {}

  // gRPC's threads.
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

  absl::Status OnRequest(const v1::PullKvRequest& request);
  absl::Status OnPull(const v1::PullKvRequest::Pull& pull);
  void SetLease(absl::Duration lease) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void End(const grpc::Status& status);
  void EndLocked(const grpc::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SchedulePump() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Sender thread: has the next message ready while another is being written.
  void Pump();
  // What comes next: an event, encoded into `message`, or a range that is to be made a frame.
  struct Next {
    grpc::ByteBuffer message;
    std::optional<Range> range;
  };
  std::optional<Next> TakeNext(const OutgoingKv::Snapshot& kv)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void QueueStored(const OutgoingKv::Snapshot& kv) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  KvFrameHeader MakeHeader(const Range& range) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void StartNextWrite() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const KvSourceContext context_;
  grpc::ByteBuffer incoming_;  // of the read under way
  grpc::ByteBuffer outgoing_;  // of the write under way

  absl::Mutex mutex_;
  std::shared_ptr<OutgoingKv> kv_ ABSL_GUARDED_BY(mutex_);  // set by Pull
  RequestId id_ ABSL_GUARDED_BY(mutex_);
  uint32_t attempt_ ABSL_GUARDED_BY(mutex_) = 0;
  bool pump_posted_ ABSL_GUARDED_BY(mutex_) = false;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<grpc::ByteBuffer> ready_message_ ABSL_GUARDED_BY(mutex_);  // after that write
  bool begun_sent_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<int> ready_from_ ABSL_GUARDED_BY(mutex_);  // set by Ready: where sending begins
  bool complete_sent_ ABSL_GUARDED_BY(mutex_) = false;
  bool released_ ABSL_GUARDED_BY(mutex_) = false;  // the puller has said Done
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<int> queued_tokens_ ABSL_GUARDED_BY(mutex_);  // per layer: end of what was queued
  std::deque<Range> queue_ ABSL_GUARDED_BY(mutex_);
  int64_t num_frames_ ABSL_GUARDED_BY(mutex_) = 0;
  std::shared_ptr<KvSourceCall> self_ ABSL_GUARDED_BY(mutex_);  // gRPC's reference, until OnDone
};

}  // namespace tandem
