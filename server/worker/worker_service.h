// The gRPC service of a worker: calls in, sessions out.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "proto/scheduler.pb.h"
#include "proto/worker.grpc.pb.h"
#include "server/worker/kv_channels.h"
#include "server/worker/kv_counters.h"
#include "server/worker/kv_source_call.h"
#include "server/worker/open_pulls.h"
#include "server/worker/outgoing_kv.h"
#include "server/worker/step_loop.h"
#include "server/worker/task_thread.h"
#include "server/worker/token_stream.h"

namespace tandem {

// Prefill, Decode, Abort and GetStats as protobuf messages, PullKv as raw bytes.
using WorkerServiceBase = v1::Worker::WithCallbackMethod_Prefill<
    v1::Worker::WithCallbackMethod_Decode<v1::Worker::WithRawCallbackMethod_PullKv<
        v1::Worker::WithCallbackMethod_Abort<v1::Worker::WithCallbackMethod_SetRole<
            v1::Worker::WithCallbackMethod_GetStats<v1::Worker::Service>>>>>>;

// Thread-safe. Outlives the server it is registered with; the loop and cache outlive it.
class WorkerService : public WorkerServiceBase {
 public:
  struct Options {
    uint64_t epoch = 0;
    int vocab_size = 0;
    KvCache* cache = nullptr;
    StepLoop* loop = nullptr;
    absl::Duration lease;                    // on KV that waits to be pulled
    std::function<void(v1::Role)> set_role;  // tells the cluster
  };
  explicit WorkerService(const Options& options);

  grpc::ServerWriteReactor<v1::TokenEvent>* Prefill(grpc::CallbackServerContext* context,
                                                    const v1::PrefillRequest* request) override;
  grpc::ServerWriteReactor<v1::TokenEvent>* Decode(grpc::CallbackServerContext* context,
                                                   const v1::DecodeRequest* request) override;
  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* PullKv(
      grpc::CallbackServerContext* context) override;
  grpc::ServerUnaryReactor* Abort(grpc::CallbackServerContext* context,
                                  const v1::AbortRequest* request,
                                  v1::AbortResponse* response) override;
  grpc::ServerUnaryReactor* SetRole(grpc::CallbackServerContext* context,
                                    const v1::SetRoleRequest* request,
                                    v1::SetRoleResponse* response) override;
  grpc::ServerUnaryReactor* GetStats(grpc::CallbackServerContext* context,
                                     const v1::GetStatsRequest* request,
                                     v1::WorkerStats* response) override;

  // Refuses new requests from now on.
  void SetDraining() { draining_ = true; }

  v1::WorkerStats Stats(absl::Time now) const;

  // Adds what the scheduler is told of this worker: statistics, and what its prefix cache holds,
  // all of it anew after the `is_first` of a stream.
  void FillHeartbeat(bool is_first, v1::HeartbeatRequest& beat);

  // Ends all pulls and runs what KV streams have posted to the end. After the server has shut down
  // and the loop has stopped.
  void StopKvStreams();

 private:
  // A request as it came in, and what this worker is to do with it.
  struct Incoming {
    const v1::EngineRequest& message;
    uint64_t epoch = 0;
    bool hand_off = false;  // prefill for another worker
    bool expect = false;    // decode what another worker prefills
  };

  absl::Status CheckEpoch(uint64_t epoch) const;
  absl::Status Submit(const Incoming& incoming, const std::shared_ptr<TokenStream>& stream,
                      std::shared_ptr<RequestSink> sink);
  absl::Status StartDecode(const v1::DecodeRequest& message,
                           const std::shared_ptr<TokenStream>& stream);
  void PostAbort(RequestId id, uint32_t attempt);

  const Options options_;
  OutgoingKvTable outgoing_;
  KvCounters counters_;
  KvChannels kv_channels_;
  OpenPulls open_pulls_;
  TaskThread sender_;
  TaskThread receiver_;
  std::atomic<bool> draining_ = false;
};

}  // namespace tandem
