#include "server/worker/open_pulls.h"

#include <utility>

namespace tandem {

void OpenPulls::Add(std::shared_ptr<grpc::ClientContext> call) {
  bool is_ending;
  {
    absl::MutexLock lock(&mutex_);
    ++num_open_;
    calls_.insert(call);
    is_ending = is_ending_;
  }
  if (is_ending) call->TryCancel();
}

void OpenPulls::Remove(std::shared_ptr<grpc::ClientContext> call) {
  {
    absl::MutexLock lock(&mutex_);
    if (!is_ending_) calls_.erase(call);
  }
  call = nullptr;
  absl::MutexLock lock(&mutex_);
  --num_open_;
}

void OpenPulls::EndAll() {
  Calls calls;
  {
    absl::MutexLock lock(&mutex_);
    is_ending_ = true;
    calls = calls_;
  }
  for (const std::shared_ptr<grpc::ClientContext>& call : calls) call->TryCancel();
  const auto is_none = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return num_open_ == 0; };
  Calls over;  // outlive the lock
  absl::MutexLock lock(&mutex_);
  mutex_.Await(absl::Condition(&is_none));
  over.swap(calls_);
}

}  // namespace tandem
