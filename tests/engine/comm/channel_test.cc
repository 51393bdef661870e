#include "engine/comm/channel.h"

#include <unistd.h>

#include <memory>
#include <vector>

#include "engine/comm/shared_memory.h"
#include "gtest/gtest.h"
#include "tests/testing/child_process.h"

namespace tandem {
namespace {

constexpr ChannelShape kShape = {.num_slots = 3, .slot_bytes = 1000};

std::vector<uint8_t> Message(int index) {
  std::vector<uint8_t> message(index * 37 % (kShape.slot_bytes + 1));
  for (size_t i = 0; i < message.size(); ++i) message[i] = static_cast<uint8_t>(index + i);
  return message;
}

TEST(ChannelTest, MessagesOfAllSizesArriveInOrder) {
  constexpr int kMessages = 5000;
  const auto memory = *SharedMemory::Create(kShape.Bytes());
  ChildProcess sender([&] {
    const PeerWaiter waiter;
    Channel channel(memory->data(), kShape, waiter);
    for (int i = 0; i < kMessages; ++i) {
      if (!channel.Send(Message(i)).ok()) return 1;
    }
    return 0;
  });
  const PeerWaiter waiter;
  Channel channel(memory->data(), kShape, waiter);
  for (int i = 0; i < kMessages; ++i) {
    const auto message = channel.Receive();
    ASSERT_TRUE(message.ok()) << message.status();
    ASSERT_EQ(std::vector<uint8_t>(message->begin(), message->end()), Message(i));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(message->data()) % 64, 0);
    channel.Release();
  }
  EXPECT_EQ(sender.Join(), 0);
}

TEST(ChannelTest, HoldsAsManyMessagesAsItHasSlotsWithoutAReceiver) {
  const auto memory = *SharedMemory::Create(kShape.Bytes());
  const PeerWaiter waiter([] { return absl::UnavailableError("nobody receives"); });
  Channel channel(memory->data(), kShape, waiter);
  for (int i = 0; i < kShape.num_slots; ++i) EXPECT_TRUE(channel.Send(Message(i)).ok());
  EXPECT_EQ(channel.Send(Message(3)).code(), absl::StatusCode::kUnavailable);
}

TEST(ChannelTest, ADeadSenderEndsTheWait) {
  const auto memory = *SharedMemory::Create(kShape.Bytes());
  ChildProcess sender([&] {
    const PeerWaiter waiter;
    return Channel(memory->data(), kShape, waiter).Send(Message(8)).ok() ? 0 : 1;
  });
  const PeerWaiter waiter([&] {
    return sender.HasEnded() ? absl::UnavailableError("the sender is gone") : absl::OkStatus();
  });
  Channel channel(memory->data(), kShape, waiter);
  ASSERT_TRUE(channel.Receive().ok());
  channel.Release();
  EXPECT_EQ(channel.Receive().status().message(), "the sender is gone");
}

TEST(ChannelDeathTest, AMessageLongerThanASlotIsAProgrammersError) {
  const auto memory = *SharedMemory::Create(kShape.Bytes());
  const PeerWaiter waiter;
  Channel channel(memory->data(), kShape, waiter);
  EXPECT_DEATH((void)channel.Send(std::vector<uint8_t>(1001)), "1001 bytes in slots of 1000");
}

TEST(SharedMemoryTest, NamesTheBytesAndTheDescriptorThatCannotBe) {
  const auto memory = SharedMemory::Create(int64_t{1} << 62);
  EXPECT_EQ(memory.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(memory.status().message().find("4611686018427387904"), absl::string_view::npos);
  EXPECT_EQ(SharedMemory::Open(12345).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace tandem
