#include "server/worker/worker_service.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/core/status_macros.h"
#include "server/grpc_status.h"
#include "server/worker/convert.h"
#include "server/worker/kv_messages.h"
#include "server/worker/request_session.h"
#include "server/worker/token_stream.h"

namespace tandem {

WorkerService::WorkerService(const Options& options)
    : options_(options), outgoing_(options.cache->layout().num_layers) {}

grpc::ServerWriteReactor<v1::TokenEvent>* WorkerService::Prefill(
    grpc::CallbackServerContext* context, const v1::PrefillRequest* request) {
  const std::shared_ptr<TokenStream> stream = TokenStream::Create();
  const v1::EngineRequest& message = request->request();
  auto session = std::make_shared<PrefillSession>(
      stream, outgoing_.FindOrCreate(RequestId(message.id()), message.attempt()), absl::Now());
  const absl::Status status =
      Submit({.message = message, .epoch = request->epoch(), .hand_off = request->hand_off()},
             stream, std::move(session));
  if (!status.ok()) stream->Close(ToGrpc(status));
  return stream.get();
}

grpc::ServerWriteReactor<v1::TokenEvent>* WorkerService::Decode(
    grpc::CallbackServerContext* context, const v1::DecodeRequest* request) {
  const std::shared_ptr<TokenStream> stream = TokenStream::Create();
  const absl::Status status = StartDecode(*request, stream);
  if (!status.ok()) stream->Close(ToGrpc(status));
  return stream.get();
}

absl::Status WorkerService::StartDecode(const v1::DecodeRequest& message,
                                        const std::shared_ptr<TokenStream>& stream) {
  const RequestId id(message.request().id());
  const uint32_t attempt = message.request().attempt();
  auto session = std::make_shared<DecodeSession>(stream, options_.loop, id, attempt, absl::Now());
  const bool pulls = message.has_prefill();
  RETURN_IF_ERROR(Submit({.message = message.request(), .epoch = message.epoch(), .expect = pulls},
                         stream, session));
  if (!pulls) return absl::OkStatus();
  session->StartPull({.id = id,
                      .attempt = attempt,
                      .source_epoch = message.prefill().epoch(),
                      .puller_epoch = options_.epoch,
                      .cache = options_.cache,
                      .receiver = &receiver_,
                      .counters = &counters_,
                      .open = &open_pulls_},
                     message.prefill().address(),
                     kv_channels_.Get(message.prefill().address(), absl::Now()));
  return absl::OkStatus();
}

absl::Status WorkerService::CheckEpoch(uint64_t epoch) const {
  if (epoch == options_.epoch) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("epoch ", epoch, " has ended; this worker's is ", options_.epoch));
}

absl::Status WorkerService::Submit(const Incoming& incoming,
                                   const std::shared_ptr<TokenStream>& stream,
                                   std::shared_ptr<RequestSink> sink) {
  if (draining_) return absl::UnavailableError("the worker is draining");
  RETURN_IF_ERROR(CheckEpoch(incoming.epoch));
  ASSIGN_OR_RETURN(Request request, FromProto(incoming.message, options_.vocab_size));
  request.hand_off = incoming.hand_off;
  const RequestId id = request.id;
  const uint32_t attempt = request.attempt;
  RETURN_IF_ERROR(options_.loop->Submit(
      {.request = std::move(request), .expect = incoming.expect, .sink = std::move(sink)}));
  stream->OnAbandoned([this, id, attempt] { PostAbort(id, attempt); });
  return absl::OkStatus();
}

void WorkerService::PostAbort(RequestId id, uint32_t attempt) {
  options_.loop->Post([id, attempt](StepLoop::Context& context) {
    context.scheduler.Abort(id, attempt, context.now);
  });
}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* WorkerService::PullKv(
    grpc::CallbackServerContext* context) {
  return KvSourceCall::Start({.cache = options_.cache,
                              .table = &outgoing_,
                              .loop = options_.loop,
                              .sender = &sender_,
                              .counters = &counters_,
                              .epoch = options_.epoch,
                              .lease = options_.lease})
      .get();
}

grpc::ServerUnaryReactor* WorkerService::Abort(grpc::CallbackServerContext* context,
                                               const v1::AbortRequest* request,
                                               v1::AbortResponse* response) {
  PostAbort(RequestId(request->request_id()), request->attempt());
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

grpc::ServerUnaryReactor* WorkerService::SetRole(grpc::CallbackServerContext* context,
                                                 const v1::SetRoleRequest* request,
                                                 v1::SetRoleResponse* response) {
  absl::Status status = CheckEpoch(request->epoch());
  if (status.ok() && (request->role() < v1::ROLE_PREFILL || request->role() > v1::ROLE_MIXED)) {
    status = absl::InvalidArgumentError(
        absl::StrCat("unknown role ", static_cast<int>(request->role())));
  }
  if (status.ok()) options_.set_role(request->role());
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(ToGrpc(status));
  return reactor;
}

grpc::ServerUnaryReactor* WorkerService::GetStats(grpc::CallbackServerContext* context,
                                                  const v1::GetStatsRequest* request,
                                                  v1::WorkerStats* response) {
  *response = Stats(absl::Now());
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

v1::WorkerStats WorkerService::Stats(absl::Time now) const {
  const StepLoopStats loop = options_.loop->Stats(now);
  const SchedulerStats& from = loop.scheduler;
  const auto blocks = [&from](BlockState state) { return from.blocks[static_cast<int>(state)]; };
  v1::WorkerStats to;
  to.set_blocks_total(from.num_blocks);
  to.set_blocks_free(blocks(BlockState::kFree));
  to.set_blocks_running(blocks(BlockState::kRunning));
  to.set_blocks_cached(blocks(BlockState::kCached));
  to.set_blocks_leased_out(blocks(BlockState::kLeasedOut));
  to.set_blocks_receiving(blocks(BlockState::kReceiving));
  to.set_blocks_quarantined(blocks(BlockState::kQuarantined));
  to.set_host_blocks_free(from.host_blocks.free);
  to.set_host_blocks_swapped(from.host_blocks.swapped);
  to.set_waiting_requests(from.waiting_requests + from.expected_requests);
  to.set_waiting_tokens(from.waiting_tokens);
  to.set_running_requests(from.prefilling_requests + from.decoding_requests);
  to.set_receiving_requests(from.receiving_requests);
  to.set_leased_requests(from.leased_requests);
  to.set_preemptions(from.preemptions);
  to.set_swaps(from.swaps);
  const int64_t block_bytes = options_.cache->StoredBlockBytes();
  to.set_swapped_out_bytes(from.swapped_out_blocks * block_bytes);
  to.set_swapped_in_bytes(from.swapped_in_blocks * block_bytes);
  to.set_recomputes(from.recomputes);
  to.set_leases_expired(from.expired_leases);
  to.set_aborted_requests(from.aborted_requests);
  to.set_finished_requests(from.finished_requests);
  to.set_failed_requests(from.failed_requests);
  to.set_prompt_tokens(from.prompt_tokens);
  to.set_generated_tokens(from.generated_tokens);
  to.set_prefix_queried_tokens(from.prefix_queried_tokens);
  to.set_prefix_hit_tokens(from.prefix_hit_tokens);
  to.set_steps(from.steps);
  to.set_step_seconds(loop.step_seconds);
  to.set_kv_bytes_sent(counters_.bytes_sent);
  to.set_kv_bytes_received(counters_.bytes_received);
  to.set_kv_frames_bad(counters_.bad_frames);
  to.set_kv_retries(counters_.retries);
  to.set_healthy(loop.healthy);
  to.set_decoding_requests(from.decoding_requests);
  to.set_decoding_tokens(from.decoding_tokens);
  *to.mutable_latency() = ToProto(loop.latency);
  return to;
}

void WorkerService::FillHeartbeat(bool is_first, v1::HeartbeatRequest& beat) {
  *beat.mutable_stats() = Stats(absl::Now());
  if (is_first) {
    beat.mutable_prefixes()->set_restart(true);
    return options_.loop->RestartPrefixChanges();
  }
  const PrefixChanges changes = options_.loop->TakePrefixChanges();
  if (changes.empty()) return;
  beat.mutable_prefixes()->set_restart(changes.restart);
  beat.mutable_prefixes()->mutable_added()->Add(changes.added.begin(), changes.added.end());
  beat.mutable_prefixes()->mutable_removed()->Add(changes.removed.begin(), changes.removed.end());
}

void WorkerService::StopKvStreams() {
  open_pulls_.EndAll();
  sender_.Stop();
  receiver_.Stop();
}

}  // namespace tandem
