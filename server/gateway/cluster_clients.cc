#include "server/gateway/cluster_clients.h"

#include <chrono>
#include <functional>
#include <utility>

#include "absl/time/time.h"
#include "server/grpc_channel.h"
#include "server/grpc_status.h"

namespace tandem {
namespace {

// A decision takes microseconds; past this the scheduler is gone or stuck.
constexpr std::chrono::seconds kRouteTimeout{5};
constexpr std::chrono::seconds kCompleteTimeout{5};
constexpr std::chrono::seconds kSetRoleTimeout{5};
constexpr std::chrono::seconds kPlanTimeout{5};
// Simulations, and those that wait before them.
constexpr std::chrono::seconds kWhatIfTimeout{60};

// Log-probabilities of a long prompt are the largest event: 128k tokens x 20 alternatives x 12 B.
constexpr int kMaxEventBytes = 64 << 20;

// A unary call and what it needs while it is under way.
template <typename Request, typename Response>
struct UnaryCall {
  explicit UnaryCall(OpenCalls& open_calls) : entry(open_calls) {}

  OpenCalls::Entry entry;
  grpc::ClientContext context;
  Request request;
  Response response;
};

// Hands a call's response, or why there is none, to `callback` on `strand`. std::function, which
// gRPC keeps it in, wants copyable captures.
template <typename Request, typename Response>
std::function<void(grpc::Status)> AnswerOn(
    const std::shared_ptr<Strand>& strand,
    const std::shared_ptr<UnaryCall<Request, Response>>& call,
    absl::AnyInvocable<void(absl::StatusOr<Response>)> callback) {
  auto shared = std::make_shared<decltype(callback)>(std::move(callback));
  return [strand, call, shared](const grpc::Status& status) {
    strand->Post([call, shared, status = FromGrpc(status)] {
      if (status.ok()) {
        (*shared)(std::move(call->response));
      } else {
        (*shared)(status);
      }
    });
  };
}

}  // namespace

bool OpenCalls::WaitUntilNone(absl::Duration timeout) {
  const absl::MutexLock lock(&mutex_);
  const auto is_none = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return count_ == 0; };
  return mutex_.AwaitWithTimeout(absl::Condition(&is_none), timeout);
}

void OpenCalls::Add(int count) {
  const absl::MutexLock lock(&mutex_);
  count_ += count;
}

SchedulerClient::SchedulerClient(std::shared_ptr<grpc::Channel> channel,
                                 std::optional<LocalScheduler> local, OpenCalls& open_calls)
    : stub_(v1::Scheduler::NewStub(std::move(channel))),
      local_(std::move(local)),
      open_calls_(open_calls) {}

void SchedulerClient::Route(v1::RouteRequest request, const std::shared_ptr<Strand>& strand,
                            OnRoute on_route) {
  if (local_.has_value()) {
    strand->Post([this, request = std::move(request), on_route = std::move(on_route)]() mutable {
      on_route(local_->route(request));
    });
    return;
  }
  auto call = std::make_shared<UnaryCall<v1::RouteRequest, v1::RouteResponse>>(open_calls_);
  call->request = std::move(request);
  // While the scheduler is being started again, requests wait for it.
  call->context.set_wait_for_ready(true);
  call->context.set_deadline(std::chrono::system_clock::now() + kRouteTimeout);
  stub_->async()->Route(&call->context, &call->request, &call->response,
                        AnswerOn(strand, call, std::move(on_route)));
}

void SchedulerClient::GetPlan(const std::shared_ptr<Strand>& strand, OnPlan on_plan) {
  auto call = std::make_shared<UnaryCall<v1::GetPlanRequest, v1::Plan>>(open_calls_);
  call->context.set_deadline(std::chrono::system_clock::now() + kPlanTimeout);
  stub_->async()->GetPlan(&call->context, &call->request, &call->response,
                          AnswerOn(strand, call, std::move(on_plan)));
}

void SchedulerClient::WhatIf(v1::WhatIfRequest request, const std::shared_ptr<Strand>& strand,
                             OnWhatIf on_answer) {
  auto call = std::make_shared<UnaryCall<v1::WhatIfRequest, v1::WhatIfResponse>>(open_calls_);
  call->request = std::move(request);
  call->context.set_deadline(std::chrono::system_clock::now() + kWhatIfTimeout);
  stub_->async()->WhatIf(&call->context, &call->request, &call->response,
                         AnswerOn(strand, call, std::move(on_answer)));
}

void SchedulerClient::GetProfile(v1::GetProfileRequest request,
                                 const std::shared_ptr<Strand>& strand, OnProfile on_profile) {
  auto call =
      std::make_shared<UnaryCall<v1::GetProfileRequest, v1::GetProfileResponse>>(open_calls_);
  call->request = std::move(request);
  call->context.set_deadline(std::chrono::system_clock::now() + kPlanTimeout);
  stub_->async()->GetProfile(&call->context, &call->request, &call->response,
                             AnswerOn(strand, call, std::move(on_profile)));
}

void SchedulerClient::Complete(v1::CompleteRequest request) {
  if (local_.has_value()) {
    local_->complete(request);
    return;
  }
  auto call = std::make_shared<UnaryCall<v1::CompleteRequest, v1::CompleteResponse>>(open_calls_);
  call->request = std::move(request);
  call->context.set_deadline(std::chrono::system_clock::now() + kCompleteTimeout);
  stub_->async()->Complete(&call->context, &call->request, &call->response,
                           [call](const grpc::Status& /*lost: see the header*/) {});
}

std::shared_ptr<v1::Worker::Stub> WorkerStubs::Get(const std::string& address) {
  const absl::MutexLock lock(&mutex_);
  std::shared_ptr<v1::Worker::Stub>& stub = stubs_[address];
  if (stub == nullptr) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(kMaxEventBytes);
    stub = v1::Worker::NewStub(CreateControlChannel(address, arguments));
  }
  return stub;
}

void WorkerStubs::SetRole(const std::string& address, const v1::SetRoleRequest& request,
                          const std::shared_ptr<Strand>& strand, OnDone on_done) {
  auto call = std::make_shared<UnaryCall<v1::SetRoleRequest, v1::SetRoleResponse>>(open_calls_);
  call->request = request;
  call->context.set_deadline(std::chrono::system_clock::now() + kSetRoleTimeout);
  auto callback = std::make_shared<OnDone>(std::move(on_done));
  Get(address)->async()->SetRole(
      &call->context, &call->request, &call->response,
      [call, strand, callback](const grpc::Status& status) {
        strand->Post([callback, status = FromGrpc(status)] { (*callback)(status); });
      });
}

void WorkerStubs::Break(const std::string& address) {
  absl::flat_hash_set<std::shared_ptr<grpc::ClientContext>> calls;
  {
    const absl::MutexLock lock(&mutex_);
    if (const auto found = calls_.find(address); found != calls_.end()) calls = found->second;
  }
  for (const std::shared_ptr<grpc::ClientContext>& call : calls) call->TryCancel();
}

void WorkerStubs::Add(const std::string& address, std::shared_ptr<grpc::ClientContext> call) {
  const absl::MutexLock lock(&mutex_);
  calls_[address].insert(std::move(call));
}

void WorkerStubs::Remove(const std::string& address,
                         const std::shared_ptr<grpc::ClientContext>& call) {
  const absl::MutexLock lock(&mutex_);
  const auto found = calls_.find(address);
  found->second.erase(call);
  if (found->second.empty()) calls_.erase(found);
}

void WorkerStubs::Retain(const absl::flat_hash_set<std::string>& addresses) {
  const absl::MutexLock lock(&mutex_);
  absl::erase_if(stubs_, [&](const auto& entry) { return !addresses.contains(entry.first); });
}

}  // namespace tandem
