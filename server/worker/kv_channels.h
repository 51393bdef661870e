// Connections to the workers that KV is pulled from.
#pragma once

#include <grpcpp/channel.h>

#include <array>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace tandem {

// To one other worker, which its pulls take in turn (docs/performance.md).
inline constexpr int kNumKvChannels = 4;

// Thread-safe.
class KvChannels {
 public:
  // The next of the channels to `address`. Those to other addresses that nobody has asked for in 10
  // minutes are dropped, so that workers which start again and again on new ports leave nothing
  // behind; but none that somebody else holds, such as a call under way, which would then be the
  // last to let go of it: see OpenPulls.
  std::shared_ptr<grpc::Channel> Get(const std::string& address, absl::Time now);

 private:
  struct Source {
    std::array<std::shared_ptr<grpc::Channel>, kNumKvChannels> channels;  // null: not yet needed
    int next = 0;
    absl::Time last_use;
  };

  static bool IsIdle(const Source& source, absl::Time now);

  absl::Mutex mutex_;
  absl::flat_hash_map<std::string, Source> sources_ ABSL_GUARDED_BY(mutex_);  // by address
};

}  // namespace tandem
