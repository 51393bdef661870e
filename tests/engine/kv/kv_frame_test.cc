#include "engine/kv/kv_frame.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <vector>

namespace tandem {
namespace {

using ::testing::HasSubstr;

const KvLayout kLayout{.num_layers = 3, .num_kv_heads = 2, .head_dim = 8, .block_size = 4};

KvFrameHeader SomeHeader() {
  return {.request_id = 0x1122334455667788,
          .epoch = 0xfedcba9876543210,
          .attempt = 7,
          .layer = 2,
          .component = KvComponent::kValues,
          .dtype = DType::kF16,
          .token_begin = 5,
          .token_end = 9,
          .head_begin = 0,
          .head_end = 2};
}

std::vector<uint8_t> SomePayload() {
  std::vector<uint8_t> payload(SomeHeader().PayloadBytes(kLayout));
  std::iota(payload.begin(), payload.end(), uint8_t{3});
  return payload;
}

std::vector<uint8_t> SomeFrame() {
  const std::vector<uint8_t> payload = SomePayload();
  const absl::Span<const uint8_t> runs[] = {absl::MakeSpan(payload).subspan(0, 50),
                                            absl::MakeSpan(payload).subspan(50)};
  const std::string header = EncodeKvFrameHeader(SomeHeader(), runs);
  std::vector<uint8_t> frame(header.begin(), header.end());
  frame.insert(frame.end(), payload.begin(), payload.end());
  return frame;
}

// Whether the whole frame, fed in pieces of `piece` bytes, is taken for what was sent.
bool Accepted(const std::vector<uint8_t>& frame, size_t piece = 7) {
  auto reader = KvFrameReader::Parse(frame);
  if (!reader.ok()) return false;
  for (size_t at = KvFrameHeader::kBytes; at < frame.size(); at += piece) {
    reader->Feed(absl::MakeSpan(frame).subspan(at, piece));
  }
  return reader->payload_bytes() == frame.size() - KvFrameHeader::kBytes && reader->Intact();
}

TEST(KvFrameTest, EveryFieldArrivesAsItWasSent) {
  const auto reader = KvFrameReader::Parse(SomeFrame());
  ASSERT_TRUE(reader.ok()) << reader.status();
  const KvFrameHeader& header = reader->header();
  const KvFrameHeader expected = SomeHeader();
  EXPECT_EQ(header.request_id, expected.request_id);
  EXPECT_EQ(header.epoch, expected.epoch);
  EXPECT_EQ(header.attempt, expected.attempt);
  EXPECT_EQ(header.layer, expected.layer);
  EXPECT_EQ(header.component, expected.component);
  EXPECT_EQ(header.dtype, expected.dtype);
  EXPECT_EQ(header.token_begin, expected.token_begin);
  EXPECT_EQ(header.token_end, expected.token_end);
  EXPECT_EQ(header.head_begin, expected.head_begin);
  EXPECT_EQ(header.head_end, expected.head_end);
  EXPECT_EQ(reader->payload_bytes(), 4 * 2 * 8 * 2);
}

TEST(KvFrameTest, TheChecksumDoesNotDependOnHowThePayloadIsCut) {
  const std::vector<uint8_t> frame = SomeFrame();
  for (size_t piece : {1, 2, 50, 64, 1000}) EXPECT_TRUE(Accepted(frame, piece)) << piece;
}

TEST(KvFrameTest, EveryFlippedBitIsNoticed) {
  const std::vector<uint8_t> frame = SomeFrame();
  for (size_t byte = 0; byte < frame.size(); ++byte) {
    for (int bit = 0; bit < 8; ++bit) {
      std::vector<uint8_t> damaged = frame;
      damaged[byte] ^= static_cast<uint8_t>(1 << bit);
      EXPECT_FALSE(Accepted(damaged)) << "byte " << byte << " bit " << bit;
    }
  }
}

TEST(KvFrameTest, ATruncatedFrameIsNoFrame) {
  const std::vector<uint8_t> frame = SomeFrame();
  for (size_t size = 0; size < frame.size(); ++size) {
    EXPECT_FALSE(Accepted(std::vector<uint8_t>(frame.begin(), frame.begin() + size))) << size;
  }
  EXPECT_EQ(KvFrameReader::Parse({frame.data(), 10}).status().code(), absl::StatusCode::kDataLoss);
}

TEST(KvFrameTest, ARangeOutsideTheLayoutIsNamed) {
  EXPECT_TRUE(SomeHeader().CheckFits(kLayout, 9).ok());
  const auto error = [](auto change) {
    KvFrameHeader header = SomeHeader();
    change(header);
    return std::string(header.CheckFits(kLayout, 9).message());
  };
  EXPECT_THAT(error([](KvFrameHeader& h) { h.layer = 3; }), HasSubstr("layer 3"));
  EXPECT_THAT(error([](KvFrameHeader& h) { h.token_end = 10; }), HasSubstr("token_end 10"));
  EXPECT_THAT(error([](KvFrameHeader& h) { h.token_begin = 9; }), HasSubstr("token_begin 9"));
  EXPECT_THAT(error([](KvFrameHeader& h) { h.head_end = 3; }), HasSubstr("head_end 3"));
  EXPECT_THAT(error([](KvFrameHeader& h) { h.head_begin = 2; }), HasSubstr("head_begin 2"));
  EXPECT_THAT(error([](KvFrameHeader& h) { h.dtype = DType::kF32; }), HasSubstr("F32"));
}

}  // namespace
}  // namespace tandem
