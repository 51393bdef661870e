#include "server/worker/kv_receipt.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "server/worker/kv_messages.h"
#include "server/worker/kv_puller.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;

constexpr int kNumTokens = 11;

// A source whose pool is full of random bytes, and a puller with other block numbers and sizes.
class KvReceiptTest : public testing::Test {
 protected:
  KvReceiptTest() {
    const KvLayout layout{.num_layers = 2, .num_kv_heads = 2, .head_dim = 4, .block_size = 4};
    KvLayout puller_layout = layout;
    puller_layout.block_size = 3;
    source_ = *KvCache::Create(layout, 8);
    puller_ = *KvCache::Create(puller_layout, 8);
    std::mt19937 random(1);
    for (int layer = 0; layer < 2; ++layer) {
      for (KvComponent component : {KvComponent::kKeys, KvComponent::kValues}) {
        for (absl::Span<uint8_t> run :
             source_->Write(layer, component, source_table_, 0, kNumTokens)) {
          for (uint8_t& byte : run) byte = static_cast<uint8_t>(random());
        }
      }
    }
    pull_ = {.id = RequestId(5), .attempt = 1, .source_epoch = 77, .cache = puller_.get()};
    Reserve(/*token_begin=*/0);
  }

  void Reserve(int token_begin) {
    receipt_ = std::make_unique<KvReceipt>(
        pull_, KvReceipt::Reservation{puller_table_, token_begin, kNumTokens});
  }

  KvFrameHeader Header(int layer, KvComponent component, int begin, int end) const {
    return {.component = component,
            .request_id = 5,
            .attempt = 1,
            .epoch = 77,
            .dtype = DType::kF16,
            .layer = static_cast<uint32_t>(layer),
            .token_begin = static_cast<uint32_t>(begin),
            .token_end = static_cast<uint32_t>(end),
            .head_begin = 0,
            .head_end = 2,
            .payload_bytes = static_cast<uint64_t>((end - begin) * 2 * 4 * 2)};
  }

  std::vector<grpc::Slice> Frame(const KvFrameHeader& header) const {
    return DumpSlices(
        EncodeKvFrame(header, source_->Read(header.layer, header.component, source_table_,
                                            header.token_begin, header.token_end)));
  }

  std::string ErrorOf(const KvFrameHeader& header) {
    return std::string(receipt_->Place(Frame(header)).status().message());
  }

  bool SameBytes() const {
    for (int layer = 0; layer < 2; ++layer) {
      for (KvComponent component : {KvComponent::kKeys, KvComponent::kValues}) {
        for (int token = 0; token < kNumTokens; ++token) {
          const auto a = source_->Read(layer, component, source_table_, token, token + 1);
          const auto b = puller_->Read(layer, component, puller_table_, token, token + 1);
          if (a[0] != b[0]) return false;
        }
      }
    }
    return true;
  }

  const std::vector<BlockId> source_table_ = {6, 1, 2};
  const std::vector<BlockId> puller_table_ = {0, 5, 4, 7};
  std::unique_ptr<KvCache> source_, puller_;
  KvPull pull_;
  std::unique_ptr<KvReceipt> receipt_;
};

TEST_F(KvReceiptTest, WaitsOnlyForWhatIsNotStoredYet) {
  Reserve(/*token_begin=*/6);
  for (int layer : {0, 1}) {
    for (KvComponent component : {KvComponent::kKeys, KvComponent::kValues}) {
      EXPECT_FALSE(receipt_->whole());
      ASSERT_TRUE(receipt_->Place(Frame(Header(layer, component, 6, kNumTokens)))->intact);
    }
  }
  EXPECT_TRUE(receipt_->whole());
  EXPECT_EQ(receipt_->bytes(), 4 * 5 * 2 * 4 * 2);
  // What others compute with is not overwritten.
  EXPECT_THAT(ErrorOf(Header(0, KvComponent::kKeys, 5, 6)), testing::IsEmpty());
  EXPECT_EQ(receipt_->bytes(), 4 * 5 * 2 * 4 * 2);
  Reserve(/*token_begin=*/8);
  EXPECT_THAT(ErrorOf(Header(0, KvComponent::kKeys, 7, 9)), HasSubstr("overlaps"));
}

TEST_F(KvReceiptTest, IsWholeWhenEveryRangeHasComeInAnyOrder) {
  for (int layer : {1, 0}) {
    for (KvComponent component : {KvComponent::kValues, KvComponent::kKeys}) {
      for (const auto& [begin, end] : {std::pair(7, 11), std::pair(0, 7)}) {
        EXPECT_FALSE(receipt_->whole());
        const auto placed = receipt_->Place(Frame(Header(layer, component, begin, end)));
        ASSERT_TRUE(placed.ok()) << placed.status();
        EXPECT_TRUE(placed->intact);
      }
    }
  }
  EXPECT_TRUE(receipt_->whole());
  EXPECT_TRUE(SameBytes());
  EXPECT_EQ(receipt_->bytes(), 2 * 2 * kNumTokens * 2 * 4 * 2);
}

TEST_F(KvReceiptTest, ADamagedFrameDoesNotCountUntilItCameAgain) {
  std::vector<grpc::Slice> slices = Frame(Header(0, KvComponent::kKeys, 0, 4));
  std::string payload(slices[1].begin(), slices[1].end());
  payload[3] ^= 1;
  const auto damaged = receipt_->Place({slices[0], grpc::Slice(payload)});
  ASSERT_TRUE(damaged.ok()) << damaged.status();
  EXPECT_FALSE(damaged->intact);
  EXPECT_EQ(damaged->token_end, 4);
  EXPECT_EQ(receipt_->bytes(), 0);
  EXPECT_TRUE(receipt_->Place(slices)->intact);
  EXPECT_GT(receipt_->bytes(), 0);
}

TEST_F(KvReceiptTest, ADuplicateTouchesNothing) {
  const std::vector<grpc::Slice> slices = Frame(Header(0, KvComponent::kKeys, 0, 4));
  ASSERT_FALSE(receipt_->Place(slices)->duplicate);
  const int64_t bytes = receipt_->bytes();
  std::string garbage(slices[1].size(), 'x');
  const auto again = receipt_->Place({slices[0], grpc::Slice(garbage)});
  EXPECT_TRUE(again->intact);
  EXPECT_TRUE(again->duplicate);
  EXPECT_EQ(receipt_->bytes(), bytes);
  const auto stored = puller_->Read(0, KvComponent::kKeys, puller_table_, 0, 1);
  EXPECT_EQ(stored[0], source_->Read(0, KvComponent::kKeys, source_table_, 0, 1)[0]);
}

TEST_F(KvReceiptTest, FramesOfAnotherRequestAttemptOrEpochAreRefused) {
  KvFrameHeader header = Header(0, KvComponent::kKeys, 0, 4);
  header.request_id = 6;
  EXPECT_THAT(ErrorOf(header), HasSubstr("request 6"));
  header = Header(0, KvComponent::kKeys, 0, 4);
  header.attempt = 0;
  EXPECT_THAT(ErrorOf(header), HasSubstr("attempt 0"));
  header = Header(0, KvComponent::kKeys, 0, 4);
  header.epoch = 76;
  EXPECT_THAT(ErrorOf(header), HasSubstr("epoch 76"));
}

TEST_F(KvReceiptTest, FramesThatDoNotFitAreRefused) {
  KvFrameHeader header = Header(0, KvComponent::kKeys, 0, 4);
  header.layer = 1;
  header.head_end = 1;  // and a payload of two heads
  EXPECT_THAT(ErrorOf(header), HasSubstr("payload"));
  const std::vector<grpc::Slice> slices = Frame(Header(0, KvComponent::kKeys, 0, 4));
  EXPECT_FALSE(receipt_->Place({slices[0]})->intact);
  EXPECT_FALSE(receipt_->Place({}).ok());
  ASSERT_TRUE(receipt_->Place(slices)->intact);
  EXPECT_THAT(ErrorOf(Header(0, KvComponent::kKeys, 2, 6)), HasSubstr("overlaps"));
}

}  // namespace
}  // namespace tandem
