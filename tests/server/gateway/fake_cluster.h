// A scheduler and workers without an engine: gRPC services whose answers a test writes.
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "engine/core/log.h"
#include "proto/scheduler.grpc.pb.h"
#include "proto/worker.grpc.pb.h"

namespace tandem::testing {

// What no condition in these tests takes longer than, on any machine.
inline constexpr absl::Duration kPatience = absl::Seconds(20);

// One Prefill or Decode call as the worker sees it. Thread-safe.
class FakeCall : public grpc::ServerWriteReactor<v1::TokenEvent> {
 public:
  FakeCall(std::function<void()> on_cancel, std::function<void()> on_done)
      : on_cancel_(std::move(on_cancel)), on_done_(std::move(on_done)) {}

  void Send(v1::TokenEvent event) {
    const absl::MutexLock lock(&mutex_);
    queue_.push_back(std::move(event));
    Advance();
  }

  // Ends the call after all that was sent.
  void Close(grpc::Status status = grpc::Status::OK) {
    const absl::MutexLock lock(&mutex_);
    if (status_ == nullptr) status_ = std::make_unique<grpc::Status>(std::move(status));
    Advance();
  }

  void OnWriteDone(bool ok) override {
    const absl::MutexLock lock(&mutex_);
    is_writing_ = false;
    queue_.pop_front();
    if (!ok) queue_.clear();
    Advance();
  }

  void OnCancel() override {
    on_cancel_();
    Close(grpc::Status::CANCELLED);
  }

  void OnDone() override {
    on_done_();
    self_ = nullptr;
  }
  void Own(std::shared_ptr<FakeCall> self) { self_ = std::move(self); }

 private:
  void Advance() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (is_writing_ || is_finished_) return;
    if (!queue_.empty()) {
      is_writing_ = true;
      StartWrite(&queue_.front());
    } else if (status_ != nullptr) {
      is_finished_ = true;
      Finish(*status_);
    }
  }

  const std::function<void()> on_cancel_;
  const std::function<void()> on_done_;
  std::shared_ptr<FakeCall> self_;
  absl::Mutex mutex_;
  std::deque<v1::TokenEvent> queue_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<grpc::Status> status_ ABSL_GUARDED_BY(mutex_);
  bool is_writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool is_finished_ ABSL_GUARDED_BY(mutex_) = false;
};

// A worker. Scripts run on gRPC's threads; set them before requests come.
class FakeWorker final : public v1::Worker::CallbackService {
 public:
  using PrefillScript =
      std::function<void(const v1::PrefillRequest&, const std::shared_ptr<FakeCall>&)>;
  using DecodeScript =
      std::function<void(const v1::DecodeRequest&, const std::shared_ptr<FakeCall>&)>;

  FakeWorker() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
    CHECK(server_ != nullptr);
  }
  ~FakeWorker() override { Kill(); }

  // As a process that dies: its calls break.
  void Kill() {
    if (server_ == nullptr) return;
    server_->Shutdown(std::chrono::system_clock::now());
    server_->Wait();
    server_ = nullptr;
  }

  std::string address() const { return absl::StrCat("127.0.0.1:", port_); }

  grpc::ServerWriteReactor<v1::TokenEvent>* Prefill(grpc::CallbackServerContext*,
                                                    const v1::PrefillRequest* request) override {
    const std::shared_ptr<FakeCall> call = Open();
    prefill(*request, call);
    return call.get();
  }

  grpc::ServerWriteReactor<v1::TokenEvent>* Decode(grpc::CallbackServerContext*,
                                                   const v1::DecodeRequest* request) override {
    const std::shared_ptr<FakeCall> call = Open();
    decode(*request, call);
    return call.get();
  }

  // True once `count` calls in all were cancelled / opened; false if that takes too long.
  bool WaitForCancelled(int count) { return WaitFor(num_cancelled_, count); }
  bool WaitForOpened(int count) { return WaitFor(num_opened_, count); }
  // True once every call that arrived has ended. One that is cancelled at once may never arrive.
  bool WaitUntilNoneIsOpen() {
    const auto is_none_open = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return num_done_ == num_opened_;
    };
    const absl::MutexLock lock(&mutex_);
    return mutex_.AwaitWithTimeout(absl::Condition(&is_none_open), kPatience);
  }
  int num_opened() const {
    const absl::MutexLock lock(&mutex_);
    return num_opened_;
  }

  PrefillScript prefill = [](const auto&, const auto& call) {
    call->Close(grpc::Status(grpc::StatusCode::UNIMPLEMENTED, "no script"));
  };
  DecodeScript decode = [](const auto&, const auto& call) {
    call->Close(grpc::Status(grpc::StatusCode::UNIMPLEMENTED, "no script"));
  };

 private:
  std::shared_ptr<FakeCall> Open() {
    const auto count = [this](int& number) {
      return [this, &number] {
        const absl::MutexLock lock(&mutex_);
        ++number;
      };
    };
    auto call = std::make_shared<FakeCall>(count(num_cancelled_), count(num_done_));
    call->Own(call);
    const absl::MutexLock lock(&mutex_);
    ++num_opened_;
    return call;
  }

  bool WaitFor(const int& number, int wanted) {
    const auto is_reached = [&number, wanted] { return number >= wanted; };
    const absl::MutexLock lock(&mutex_);
    return mutex_.AwaitWithTimeout(absl::Condition(&is_reached), kPatience);
  }

  mutable absl::Mutex mutex_;
  int num_opened_ ABSL_GUARDED_BY(mutex_) = 0;
  int num_cancelled_ ABSL_GUARDED_BY(mutex_) = 0;
  int num_done_ ABSL_GUARDED_BY(mutex_) = 0;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

// A Watch stream: the state at once, then whatever is pushed.
class FakeWatch : public grpc::ServerWriteReactor<v1::ClusterState> {
 public:
  explicit FakeWatch(v1::ClusterState state) : state_(std::move(state)) { StartWrite(&state_); }
  void OnCancel() override { Finish(grpc::Status::CANCELLED); }
  void OnDone() override { delete this; }

 private:
  const v1::ClusterState state_;
};

// A scheduler that sends every request to the same workers. Set it up before Start.
class FakeScheduler final : public v1::Scheduler::CallbackService {
 public:
  ~FakeScheduler() override { Stop(); }

  void Start() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
    CHECK(server_ != nullptr);
  }
  void Stop() {
    if (server_ == nullptr) return;
    server_->Shutdown(std::chrono::system_clock::now());
    server_->Wait();
    server_ = nullptr;
  }

  std::shared_ptr<grpc::Channel> NewChannel() const {
    return grpc::CreateChannel(absl::StrCat("127.0.0.1:", port_),
                               grpc::InsecureChannelCredentials());
  }

  void UsePrefillAndDecode(const FakeWorker& prefill, const FakeWorker& decode) {
    SetTarget(*route.mutable_prefill(), "prefill-0", prefill);
    SetTarget(*route.mutable_decode(), "decode-0", decode);
    AddInstance("prefill-0", v1::ROLE_PREFILL, prefill);
    AddInstance("decode-0", v1::ROLE_DECODE, decode);
  }
  void UseMixed(const FakeWorker& worker) {
    SetTarget(*route.mutable_decode(), "mixed-0", worker);
    AddInstance("mixed-0", v1::ROLE_MIXED, worker);
  }

  grpc::ServerUnaryReactor* Route(grpc::CallbackServerContext* context,
                                  const v1::RouteRequest* request,
                                  v1::RouteResponse* response) override {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    {
      const absl::MutexLock lock(&mutex_);
      route_requests_.push_back(*request);
      *response = route;
      response->set_request_id(route_requests_.size());
      response->set_attempt(1);
    }
    reactor->Finish(WasLost(*request) ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "no other")
                                      : route_status);
    return reactor;
  }

  grpc::ServerUnaryReactor* Complete(grpc::CallbackServerContext* context,
                                     const v1::CompleteRequest* request,
                                     v1::CompleteResponse*) override {
    {
      const absl::MutexLock lock(&mutex_);
      completed_.push_back(*request);
    }
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

  grpc::ServerWriteReactor<v1::ClusterState>* Watch(grpc::CallbackServerContext*,
                                                    const v1::WatchRequest*) override {
    return new FakeWatch(cluster);
  }

  grpc::ServerUnaryReactor* GetPlan(grpc::CallbackServerContext* context, const v1::GetPlanRequest*,
                                    v1::Plan* response) override {
    *response = plan;
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

  grpc::ServerUnaryReactor* WhatIf(grpc::CallbackServerContext* context,
                                   const v1::WhatIfRequest* request,
                                   v1::WhatIfResponse* response) override {
    {
      const absl::MutexLock lock(&mutex_);
      what_if_requests_.push_back(*request);
    }
    *response = what_if;
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    reactor->Finish(what_if_status);
    return reactor;
  }

  grpc::ServerUnaryReactor* GetProfile(grpc::CallbackServerContext* context,
                                       const v1::GetProfileRequest* request,
                                       v1::GetProfileResponse* response) override {
    {
      const absl::MutexLock lock(&mutex_);
      profile_requests_.push_back(*request);
    }
    response->set_json(profile);
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    reactor->Finish(profile_status);
    return reactor;
  }

  std::vector<v1::GetProfileRequest> profile_requests() const {
    const absl::MutexLock lock(&mutex_);
    return profile_requests_;
  }
  std::vector<v1::WhatIfRequest> what_if_requests() const {
    const absl::MutexLock lock(&mutex_);
    return what_if_requests_;
  }
  std::vector<v1::RouteRequest> route_requests() const {
    const absl::MutexLock lock(&mutex_);
    return route_requests_;
  }
  // True once `count` requests were completed.
  bool WaitForCompleted(size_t count) {
    const auto is_reached = [this, count]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return completed_.size() >= count;
    };
    const absl::MutexLock lock(&mutex_);
    return mutex_.AwaitWithTimeout(absl::Condition(&is_reached), kPatience);
  }
  size_t num_completed() const { return completed().size(); }
  std::vector<v1::CompleteRequest> completed() const {
    const absl::MutexLock lock(&mutex_);
    return completed_;
  }

  v1::RouteResponse route;
  grpc::Status route_status = grpc::Status::OK;
  bool routes_to_lost_workers = false;  // as if they had been started again
  v1::ClusterState cluster;
  v1::Plan plan;
  v1::WhatIfResponse what_if;
  grpc::Status what_if_status = grpc::Status::OK;
  std::string profile = "{}";
  grpc::Status profile_status = grpc::Status::OK;

 private:
  bool WasLost(const v1::RouteRequest& request) const {
    if (routes_to_lost_workers) return false;
    for (const v1::WorkerIncarnation& lost : request.avoid()) {
      if (lost.instance_id() == route.prefill().instance_id() ||
          lost.instance_id() == route.decode().instance_id()) {
        return true;
      }
    }
    return false;
  }
  static void SetTarget(v1::WorkerTarget& target, const std::string& id, const FakeWorker& worker) {
    target.set_instance_id(id);
    target.set_address(worker.address());
    target.set_epoch(7);
  }
  void AddInstance(const std::string& id, v1::Role role, const FakeWorker& worker) {
    v1::InstanceState& instance = *cluster.add_instances();
    instance.mutable_registration()->set_instance_id(id);
    instance.mutable_registration()->set_role(role);
    instance.mutable_registration()->set_address(worker.address());
    instance.mutable_registration()->mutable_model()->set_max_model_len(64);
    instance.mutable_stats()->set_blocks_free(10);
    instance.mutable_stats()->set_kv_bytes_received(4096);
    instance.set_healthy(true);
    cluster.set_servable(true);
  }

  mutable absl::Mutex mutex_;
  std::vector<v1::RouteRequest> route_requests_ ABSL_GUARDED_BY(mutex_);
  std::vector<v1::CompleteRequest> completed_ ABSL_GUARDED_BY(mutex_);
  std::vector<v1::WhatIfRequest> what_if_requests_ ABSL_GUARDED_BY(mutex_);
  std::vector<v1::GetProfileRequest> profile_requests_ ABSL_GUARDED_BY(mutex_);
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace tandem::testing
