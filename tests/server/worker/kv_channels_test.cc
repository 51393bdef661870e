#include "server/worker/kv_channels.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

namespace tandem {
namespace {

const absl::Time kStart = absl::FromUnixSeconds(1000);

// What the channels of an address were, without holding them.
struct Seen {
  explicit Seen(KvChannels& channels, const std::string& address) {
    for (auto& channel : each) channel = channels.Get(address, kStart);
  }
  bool AreDropped() const {
    return std::all_of(each.begin(), each.end(),
                       [](const auto& channel) { return channel.expired(); });
  }
  std::array<std::weak_ptr<grpc::Channel>, kNumKvChannels> each;
};

TEST(KvChannelsTest, ThoseOfAnAddressAreTakenInTurn) {
  KvChannels channels;
  const auto first = channels.Get("127.0.0.1:1", kStart);
  for (int i = 1; i < kNumKvChannels; ++i) EXPECT_NE(channels.Get("127.0.0.1:1", kStart), first);
  EXPECT_EQ(channels.Get("127.0.0.1:1", kStart), first);
}

TEST(KvChannelsTest, ThoseThatNobodyAsksForAreDropped) {
  KvChannels channels;
  const Seen gone(channels, "127.0.0.1:1"), used(channels, "127.0.0.1:2");
  channels.Get("127.0.0.1:2", kStart + absl::Minutes(8));
  EXPECT_FALSE(gone.AreDropped());
  channels.Get("127.0.0.1:3", kStart + absl::Minutes(11));
  EXPECT_TRUE(gone.AreDropped());
  EXPECT_FALSE(used.AreDropped());
}

TEST(KvChannelsTest, AChannelIsKeptWhileACallIsUnderWay) {
  KvChannels channels;
  auto call = channels.Get("127.0.0.1:1", kStart);  // as a call holds it
  const std::weak_ptr<grpc::Channel> seen = call;
  channels.Get("127.0.0.1:2", kStart + absl::Hours(1));
  call = nullptr;
  EXPECT_FALSE(seen.expired()) << "the call dropped it";
  channels.Get("127.0.0.1:3", kStart + absl::Hours(2));
  EXPECT_TRUE(seen.expired());
}

}  // namespace
}  // namespace tandem
