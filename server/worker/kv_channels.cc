#include "server/worker/kv_channels.h"

#include <algorithm>

#include "server/worker/kv_messages.h"

namespace tandem {
namespace {

// Long against the pauses between two requests of a worker in use, and against the time that it
// takes to connect anew.
constexpr absl::Duration kIdleTime = absl::Minutes(10);

}  // namespace

std::shared_ptr<grpc::Channel> KvChannels::Get(const std::string& address, absl::Time now) {
  absl::MutexLock lock(&mutex_);
  Source& source = sources_[address];
  source.last_use = now;
  std::shared_ptr<grpc::Channel>& channel = source.channels[source.next];
  source.next = (source.next + 1) % kNumKvChannels;
  if (channel == nullptr) channel = CreateKvChannel(address);
  std::shared_ptr<grpc::Channel> next = channel;
  absl::erase_if(sources_, [now](const auto& entry) { return IsIdle(entry.second, now); });
  return next;
}

bool KvChannels::IsIdle(const Source& source, absl::Time now) {
  if (now - source.last_use < kIdleTime) return false;
  // Others can only let go: nobody but Get hands them out.
  return std::all_of(
      source.channels.begin(), source.channels.end(),
      [](const std::shared_ptr<grpc::Channel>& channel) { return channel.use_count() <= 1; });
}

}  // namespace tandem
