#include "engine/kv/kv_frame.h"

#include <algorithm>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tandem {
namespace {

using testing::HasSubstr;

constexpr KvLayout kLayout{
    .num_layers = 4, .num_kv_heads = 3, .head_dim = 6, .block_size = 16, .dtype = DType::kF16};
constexpr int kPromptTokens = 50;

std::vector<uint8_t> RandomBytes(size_t size, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<uint8_t> bytes(size);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  return bytes;
}

KvFrameHeader ExampleHeader() {
  KvFrameHeader header;
  header.component = KvComponent::kValues;
  header.request_id = 0x1122334455667788;
  header.attempt = 3;
  header.epoch = 0x99aabbccddeeff00;
  header.layer = 2;
  header.token_begin = 7;
  header.token_end = 11;
  header.head_begin = 1;
  header.head_end = 3;
  header.payload_bytes = 4 * 2 * 6 * 2;
  return header;
}

std::vector<uint8_t> EncodeFrame(const KvFrameHeader& header, absl::Span<const uint8_t> payload) {
  const std::string encoded = EncodeKvFrameHeader(header, {payload});
  std::vector<uint8_t> frame(encoded.begin(), encoded.end());
  frame.insert(frame.end(), payload.begin(), payload.end());
  return frame;
}

// What a receiver does with the bytes of one message.
absl::Status Receive(absl::Span<const uint8_t> frame, const KvFrameHeader& wanted) {
  const auto header = DecodeKvFrameHeader(frame);
  if (!header.ok()) return header.status();
  if (absl::Status status = header->CheckFits(kLayout, kPromptTokens); !status.ok()) return status;
  std::vector<uint8_t> destination(header->payload_bytes);
  KvFrameReader reader(*header, {absl::MakeSpan(destination)});
  absl::Status status = reader.Append(frame.subspan(KvFrameHeader::kBytes));
  if (!status.ok()) return status;
  status = reader.Finish();
  if (status.ok()) {
    KvFrameHeader without_crc = *header;
    without_crc.crc32c = 0;
    EXPECT_EQ(without_crc, wanted);
  }
  return status;
}

TEST(KvFrameTest, HeaderBytesAreFixed) {
  const std::vector<uint8_t> payload(ExampleHeader().payload_bytes, 0);
  const std::string bytes = EncodeKvFrameHeader(ExampleHeader(), {payload});
  const std::string expected(
      "TKVF\x44\x00\x01\x01"
      "\x88\x77\x66\x55\x44\x33\x22\x11"
      "\x00\xff\xee\xdd\xcc\xbb\xaa\x99"
      "\x03\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00"
      "\x07\x00\x00\x00\x0b\x00\x00\x00\x01\x00\x00\x00\x03\x00\x00\x00"
      "\x60\x00\x00\x00\x00\x00\x00\x00",
      64);
  EXPECT_EQ(bytes.substr(0, 64), expected);
  EXPECT_EQ(bytes.size(), KvFrameHeader::kBytes);
}

// CRC32C by its definition, bit by bit (polynomial 0x1EDC6F41, reflected).
TEST(KvFrameTest, CrcIsCrc32c) {
  const auto crc32c = [](absl::Span<const uint8_t> bytes) {
    uint32_t crc = ~0u;
    for (const uint8_t byte : bytes) {
      crc ^= byte;
      for (int i = 0; i < 8; ++i) crc = crc & 1 ? crc >> 1 ^ 0x82f63b78 : crc >> 1;
    }
    return ~crc;
  };
  const std::string check = "123456789";
  ASSERT_EQ(crc32c({reinterpret_cast<const uint8_t*>(check.data()), 9}), 0xe3069283u);

  const std::vector<uint8_t> payload = RandomBytes(ExampleHeader().payload_bytes, 1);
  std::vector<uint8_t> frame = EncodeFrame(ExampleHeader(), payload);
  const uint32_t sent = DecodeKvFrameHeader(frame)->crc32c;
  std::fill(frame.begin() + 64, frame.begin() + 68, 0);
  EXPECT_EQ(sent, crc32c(frame));
}

TEST(KvFrameTest, SoundFrameArrivesInAnySlices) {
  std::mt19937 random(2);
  const KvFrameHeader sent = ExampleHeader();
  const std::vector<uint8_t> payload = RandomBytes(sent.payload_bytes, 2);
  const std::vector<uint8_t> frame = EncodeFrame(sent, payload);
  for (int round = 0; round < 100; ++round) {
    const KvFrameHeader header = *DecodeKvFrameHeader(frame);
    std::vector<uint8_t> destination(payload.size());
    // Destination runs and slices are cut independently.
    std::vector<absl::Span<uint8_t>> runs;
    for (size_t at = 0; at < destination.size();) {
      const size_t size = std::min<size_t>(destination.size() - at, 1 + random() % 40);
      runs.push_back(absl::MakeSpan(destination).subspan(at, size));
      at += size;
    }
    KvFrameReader reader(header, runs);
    for (size_t at = 0; at < payload.size();) {
      const size_t size = std::min<size_t>(payload.size() - at, random() % 40);
      ASSERT_TRUE(reader.Append(absl::MakeConstSpan(payload).subspan(at, size)).ok());
      at += size;
    }
    ASSERT_TRUE(reader.Finish().ok());
    ASSERT_EQ(destination, payload);
  }
}

TEST(KvFrameTest, LargePayloadIsCheckedWhole) {
  KvFrameHeader header = ExampleHeader();
  header.payload_bytes = 100'001;  // several pieces of the reader
  std::vector<uint8_t> payload = RandomBytes(header.payload_bytes, 3);
  header = *DecodeKvFrameHeader(EncodeFrame(header, payload));
  std::vector<uint8_t> destination(payload.size());
  for (const bool damaged : {false, true}) {
    if (damaged) payload[77'777] ^= 16;
    KvFrameReader reader(header, {absl::MakeSpan(destination)});
    ASSERT_TRUE(reader.Append(payload).ok());
    EXPECT_EQ(reader.Finish().ok(), !damaged);
  }
}

TEST(KvFrameTest, EveryFlippedBitIsDetected) {
  const KvFrameHeader header = ExampleHeader();
  std::vector<uint8_t> frame = EncodeFrame(header, RandomBytes(header.payload_bytes, 4));
  ASSERT_TRUE(Receive(frame, header).ok());
  for (size_t i = 0; i < frame.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      frame[i] ^= 1 << bit;
      const absl::Status status = Receive(frame, header);
      ASSERT_TRUE(absl::IsDataLoss(status) || absl::IsInvalidArgument(status))
          << "byte " << i << " bit " << bit << ": " << status;
      frame[i] ^= 1 << bit;
    }
  }
}

TEST(KvFrameTest, EveryTruncationAndAnyExcessIsDetected) {
  const KvFrameHeader header = ExampleHeader();
  std::vector<uint8_t> frame = EncodeFrame(header, RandomBytes(header.payload_bytes, 5));
  for (size_t size = 0; size < frame.size(); ++size) {
    ASSERT_TRUE(absl::IsDataLoss(Receive(absl::MakeSpan(frame).first(size), header))) << size;
  }
  frame.push_back(0);
  EXPECT_TRUE(absl::IsDataLoss(Receive(frame, header)));
}

TEST(KvFrameTest, RandomBytesNeverPass) {
  for (uint32_t seed = 0; seed < 2000; ++seed) {
    std::vector<uint8_t> frame = RandomBytes(seed % 200, seed);
    // The start is made plausible, so that later fields are reached.
    const std::string start("TKVF\x44\x00\x01\x01", 8);
    std::copy_n(start.begin(), std::min<size_t>(frame.size(), 8), frame.begin());
    if (frame.size() > 36)
      std::fill_n(frame.begin() + 36, std::min<size_t>(4, frame.size() - 36), 0);
    EXPECT_FALSE(Receive(frame, {}).ok());
  }
}

TEST(KvFrameTest, MisfitNamesTheField) {
  const KvFrameHeader good = ExampleHeader();
  ASSERT_TRUE(good.CheckFits(kLayout, kPromptTokens).ok());
  const auto message = [&](auto change) {
    KvFrameHeader header = good;
    change(header);
    const absl::Status status = header.CheckFits(kLayout, kPromptTokens);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    return std::string(status.message());
  };
  EXPECT_THAT(message([](KvFrameHeader& h) { h.layout_version = 9; }), HasSubstr("layout_version"));
  EXPECT_THAT(message([](KvFrameHeader& h) { h.dtype = DType::kF32; }), HasSubstr("dtype is F32"));
  EXPECT_THAT(message([](KvFrameHeader& h) { h.layer = 4; }), HasSubstr("layer is 4"));
  EXPECT_THAT(message([](KvFrameHeader& h) { h.token_end = 51; }), HasSubstr("[7, 51)"));
  EXPECT_THAT(message([](KvFrameHeader& h) { h.token_end = 7; }), HasSubstr("[7, 7)"));
  EXPECT_THAT(message([](KvFrameHeader& h) { h.token_begin = ~0u; }), HasSubstr("token range"));
  EXPECT_THAT(message([](KvFrameHeader& h) { h.head_end = 4; }), HasSubstr("[1, 4)"));
  EXPECT_THAT(message([](KvFrameHeader& h) { h.head_begin = 3; }), HasSubstr("head range"));
  EXPECT_THAT(message([](KvFrameHeader& h) { h.payload_bytes += 1; }), HasSubstr("payload_bytes"));
}

// The whole path between two workers whose blocks have other sizes, in frames of some heads each.
void CarryBetweenBlockSizes(DType dtype) {
  KvLayout layout = kLayout;
  layout.dtype = dtype;
  KvLayout target_layout = layout;
  target_layout.block_size = 5;
  const auto source = *KvCache::Create(layout, 8);
  const auto target = *KvCache::Create(target_layout, 16);
  const std::vector<BlockId> source_table = {5, 1, 2, 7};
  const std::vector<BlockId> target_table = {0, 9, 3, 4, 5, 15, 11, 1, 2, 7};
  const int64_t bytes = kPromptTokens * layout.TokenBytes();
  const std::vector<uint8_t> kv = RandomBytes(bytes, 6);
  size_t at = 0;
  for (const auto& run : source->Write(1, KvComponent::kKeys, source_table, 0, kPromptTokens)) {
    std::copy_n(kv.begin() + at, run.size(), run.begin());
    at += run.size();
  }
  const int heads[] = {0, 1, 3}, tokens[] = {0, 13, 50};
  for (int h = 0; h < 2; ++h) {
    for (int t = 0; t < 2; ++t) {
      KvFrameHeader header = ExampleHeader();
      header.component = KvComponent::kKeys;
      header.layer = 1;
      header.head_begin = heads[h];
      header.head_end = heads[h + 1];
      header.token_begin = tokens[t];
      header.token_end = tokens[t + 1];
      header.dtype = dtype;
      header.payload_bytes =
          (tokens[t + 1] - tokens[t]) * (heads[h + 1] - heads[h]) * layout.HeadBytes();
      const auto runs = SelectHeads(
          layout, source->Read(1, KvComponent::kKeys, source_table, tokens[t], tokens[t + 1]),
          heads[h], heads[h + 1]);
      const std::string sent = EncodeKvFrameHeader(header, runs);

      const KvFrameHeader received =
          *DecodeKvFrameHeader({reinterpret_cast<const uint8_t*>(sent.data()), sent.size()});
      ASSERT_TRUE(received.CheckFits(target_layout, kPromptTokens).ok());
      KvFrameReader reader(received,
                           SelectHeads(target_layout,
                                       target->Write(1, KvComponent::kKeys, target_table,
                                                     received.token_begin, received.token_end),
                                       received.head_begin, received.head_end));
      for (const auto& run : runs) ASSERT_TRUE(reader.Append(run).ok());
      ASSERT_TRUE(reader.Finish().ok());
    }
  }
  std::vector<uint8_t> arrived;
  for (const auto& run : target->Read(1, KvComponent::kKeys, target_table, 0, kPromptTokens)) {
    arrived.insert(arrived.end(), run.begin(), run.end());
  }
  EXPECT_EQ(arrived, kv);
}

TEST(KvFrameTest, CarriesKvBetweenCachesOfDifferentBlockSizes) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16, DType::kI8}) {
    SCOPED_TRACE(std::string(GetDTypeInfo(dtype).name));
    CarryBetweenBlockSizes(dtype);
  }
}

TEST(KvFrameTest, QuantisedHeadsTravelWithTheirScales) {
  KvLayout layout = kLayout;
  layout.dtype = DType::kI8;
  KvFrameHeader header = ExampleHeader();  // 4 tokens of 2 heads of 6 elements
  header.dtype = DType::kI8;
  header.payload_bytes = 4 * 2 * (6 + sizeof(float));
  EXPECT_TRUE(header.CheckFits(layout, kPromptTokens).ok());
  const std::vector<uint8_t> frame = EncodeFrame(header, RandomBytes(header.payload_bytes, 7));
  EXPECT_EQ(DecodeKvFrameHeader(frame)->dtype, DType::kI8);
  EXPECT_EQ(frame[36], 11);  // its number on the wire
  header.payload_bytes = 4 * 2 * 6;
  EXPECT_THAT(std::string(header.CheckFits(layout, kPromptTokens).message()),
              HasSubstr("payload_bytes"));
}

TEST(KvFrameTest, TypesThatKvIsNotKeptInAreUnknown) {
  KvFrameHeader header = ExampleHeader();
  for (const uint32_t dtype : {3u, 10u, 12u, 255u}) {
    header.dtype = static_cast<DType>(dtype);
    const std::vector<uint8_t> frame = EncodeFrame(header, RandomBytes(header.payload_bytes, 8));
    EXPECT_THAT(std::string(DecodeKvFrameHeader(frame).status().message()), HasSubstr("dtype"));
  }
}

}  // namespace
}  // namespace tandem
