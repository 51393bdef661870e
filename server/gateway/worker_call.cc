#include "server/gateway/worker_call.h"

#include <utility>

#include "server/grpc_status.h"

namespace tandem {
namespace {

template <typename Request>
class ReadingCall final : public WorkerCall,
                          public grpc::ClientReadReactor<v1::TokenEvent>,
                          public std::enable_shared_from_this<ReadingCall<Request>> {
 public:
  ReadingCall(WorkerStubs& workers, std::string address, Request request,
              std::shared_ptr<Strand> strand, Callbacks callbacks)
      : entry_(workers.open_calls()),
        workers_(workers),
        address_(std::move(address)),
        request_(std::move(request)),
        strand_(std::move(strand)),
        callbacks_(std::move(callbacks)) {}

  // `open` binds this reactor to the method of a stub.
  template <typename Open>
  void Start(Open open) {
    self_ = this->shared_from_this();
    workers_.Add(address_, context_);
    open(workers_.Get(address_)->async(), context_.get(), &request_, this);
    // Reads are started from the strand, outside gRPC's callbacks: the hold keeps OnDone away until
    // no further one can come.
    AddHold();
    StartRead(&event_);
    StartCall();
  }

  void Next() override {
    if (is_cancelled_ || is_reading_) return;
    is_reading_ = true;
    StartRead(&event_);
  }

  void Cancel() override {
    if (std::exchange(is_cancelled_, true)) return;
    context_->TryCancel();
    if (!is_reading_) RemoveHold();
  }

  void OnReadDone(bool ok) override {
    if (!ok) return RemoveHold();
    strand_->Post([self = this->shared_from_this()] { self->TakeEvent(); });
  }

  void OnDone(const grpc::Status& status) override {
    workers_.Remove(address_, context_);
    strand_->Post([self = std::move(self_), status = FromGrpc(status)]() mutable {
      // Callbacks own the request's objects, which own this call.
      Callbacks callbacks = std::move(self->callbacks_);
      callbacks.on_done(std::move(status));
    });
  }

 private:
  void TakeEvent() {
    is_reading_ = false;
    if (is_cancelled_) return RemoveHold();
    callbacks_.on_event(std::move(event_));
  }

  const OpenCalls::Entry entry_;
  WorkerStubs& workers_;
  const std::string address_;
  const Request request_;
  const std::shared_ptr<Strand> strand_;
  // Shared with `workers_`, which may be about to cancel it.
  const std::shared_ptr<grpc::ClientContext> context_ = std::make_shared<grpc::ClientContext>();
  std::shared_ptr<ReadingCall> self_;  // until OnDone
  v1::TokenEvent event_;               // gRPC's while a read is under way, else the strand's

  // Strand only.
  Callbacks callbacks_;
  bool is_reading_ = true;
  bool is_cancelled_ = false;
};

}  // namespace

std::shared_ptr<WorkerCall> WorkerCall::StartPrefill(WorkerStubs& workers,
                                                     const std::string& address,
                                                     v1::PrefillRequest request,
                                                     std::shared_ptr<Strand> strand,
                                                     Callbacks callbacks) {
  auto call = std::make_shared<ReadingCall<v1::PrefillRequest>>(
      workers, address, std::move(request), std::move(strand), std::move(callbacks));
  call->Start([](auto* worker, auto* context, auto* request, auto* reactor) {
    worker->Prefill(context, request, reactor);
  });
  return call;
}

std::shared_ptr<WorkerCall> WorkerCall::StartDecode(WorkerStubs& workers,
                                                    const std::string& address,
                                                    v1::DecodeRequest request,
                                                    std::shared_ptr<Strand> strand,
                                                    Callbacks callbacks) {
  auto call = std::make_shared<ReadingCall<v1::DecodeRequest>>(
      workers, address, std::move(request), std::move(strand), std::move(callbacks));
  call->Start([](auto* worker, auto* context, auto* request, auto* reactor) {
    worker->Decode(context, request, reactor);
  });
  return call;
}

}  // namespace tandem
