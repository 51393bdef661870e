#include "server/worker/registration.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "engine/core/log.h"

namespace tandem {
namespace {

constexpr absl::Duration kRetry = absl::Milliseconds(200);
constexpr absl::Duration kLongestRetry = absl::Seconds(1);
constexpr absl::Duration kRegisterTimeout = absl::Seconds(5);

}  // namespace

Registration::Registration(const std::shared_ptr<grpc::Channel>& scheduler,
                           v1::RegisterRequest self, Fill fill)
    : stub_(v1::Scheduler::NewStub(scheduler)),
      self_(std::move(self)),
      fill_(std::move(fill)),
      role_(self_.role()) {}

Registration::~Registration() { Stop(); }

void Registration::Start() {
  thread_ = std::thread([this] { Run(); });
}

void Registration::SetDraining() {
  absl::MutexLock lock(&mutex_);
  draining_ = true;
  has_news_ = true;
}

void Registration::SetRole(v1::Role role) {
  absl::MutexLock lock(&mutex_);
  role_ = role;
  has_news_ = true;
}

void Registration::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
    if (context_ != nullptr) context_->TryCancel();
  }
  if (thread_.joinable()) thread_.join();
}

void Registration::Run() {
  absl::Duration pause = kRetry;
  std::string last_error;
  do {
    const grpc::Status status = Stay();
    {
      absl::MutexLock lock(&mutex_);
      if (stopping_) return;
    }
    if (status.ok()) {
      pause = kRetry;
      last_error.clear();
      continue;
    }
    if (status.error_message() != last_error) {
      last_error = status.error_message();
      LOG(WARNING) << "not registered with the scheduler, trying again: " << last_error;
    }
    pause = std::min(kLongestRetry, pause * 2);
  } while (Sleep(pause, /*until_news=*/false));
}

Registration::CancelledByStop::CancelledByStop(Registration& registration,
                                               grpc::ClientContext& context)
    : registration_(registration) {
  absl::MutexLock lock(&registration_.mutex_);
  registration_.context_ = &context;
  if (registration_.stopping_) context.TryCancel();
}

Registration::CancelledByStop::~CancelledByStop() {
  absl::MutexLock lock(&registration_.mutex_);
  registration_.context_ = nullptr;
}

grpc::Status Registration::Register(v1::RegisterResponse& response) {
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + kRegisterTimeout));
  v1::RegisterRequest self = self_;
  {
    absl::MutexLock lock(&mutex_);
    self.set_role(role_);
  }
  const CancelledByStop cancelled_by_stop(*this, context);
  return stub_->Register(&context, self, &response);
}

// OK: was registered, and the stream then broke.
grpc::Status Registration::Stay() {
  v1::RegisterResponse response;
  if (grpc::Status status = Register(response); !status.ok()) return status;
  grpc::ClientContext context;
  const CancelledByStop cancelled_by_stop(*this, context);
  LOG(INFO) << "registered instance=" << self_.instance_id() << " address=" << self_.address();
  const auto stream = stub_->Heartbeat(&context);
  bool is_first = true;
  do {
    v1::HeartbeatRequest beat;
    beat.set_instance_id(self_.instance_id());
    beat.set_epoch(self_.epoch());
    {
      absl::MutexLock lock(&mutex_);
      beat.set_draining(draining_);
      beat.set_role(role_);
      has_news_ = false;
    }
    fill_(std::exchange(is_first, false), beat);
    if (!stream->Write(beat)) break;
  } while (Sleep(absl::Milliseconds(response.heartbeat_ms()), /*until_news=*/true));
  context.TryCancel();
  stream->Finish();
  return grpc::Status::OK;
}

bool Registration::Sleep(absl::Duration duration, bool until_news) {
  absl::MutexLock lock(&mutex_);
  const auto wake = [this, until_news]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return stopping_ || (until_news && has_news_);
  };
  mutex_.AwaitWithTimeout(absl::Condition(&wake), duration);
  return !stopping_;
}

}  // namespace tandem
