#include "server/worker/kv_messages.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace tandem {
namespace {

// As reads from a socket may cut it: every byte a slice of its own.
grpc::ByteBuffer CutUp(const grpc::ByteBuffer& message) {
  std::vector<grpc::Slice> bytes;
  for (const grpc::Slice& slice : DumpSlices(message)) {
    for (const uint8_t& byte : slice) bytes.emplace_back(&byte, 1);
  }
  return grpc::ByteBuffer(bytes.data(), bytes.size());
}

TEST(KvMessagesTest, AnEventIsKnownHoweverItsBytesAreCut) {
  v1::KvEvent event;
  event.mutable_complete()->set_num_frames(7);
  const grpc::ByteBuffer message = CutUp(EncodeKvEvent(event));
  ASSERT_TRUE(IsKvEvent(message));
  const auto decoded = DecodeKvEvent(message);
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(decoded->complete().num_frames(), 7);
}

TEST(KvMessagesTest, AFrameOrAPieceOfAnEventIsNoEvent) {
  const std::vector<uint8_t> payload(6);
  const KvFrameHeader header{.payload_bytes = payload.size()};
  EXPECT_FALSE(IsKvEvent(CutUp(EncodeKvFrame(header, {absl::MakeConstSpan(payload)}))));
  const grpc::Slice piece("TKV");
  EXPECT_FALSE(IsKvEvent(grpc::ByteBuffer(&piece, 1)));
  EXPECT_FALSE(IsKvEvent(grpc::ByteBuffer()));
}

}  // namespace
}  // namespace tandem
