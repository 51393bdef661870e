#include "engine/weights/quantize_blocks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

namespace tandem {
namespace {

using ::testing::Each;

// One file of tests/golden/quantize.
struct GoldenRows {
  explicit GoldenRows(const std::string& type) {
    std::ifstream file(TANDEM_SOURCE_DIR "/tests/golden/quantize/" + type + ".bin",
                       std::ios::binary);
    int32_t shape[2] = {};
    file.read(reinterpret_cast<char*>(shape), sizeof(shape));
    values.resize(int64_t{shape[0]} * shape[1]);
    file.read(reinterpret_cast<char*>(values.data()),
              static_cast<std::streamsize>(values.size() * sizeof(float)));
    blocks.assign(std::istreambuf_iterator<char>(file), {});
  }

  std::vector<float> values;
  std::vector<uint8_t> blocks;
};

class QuantizeBlocksTest : public testing::TestWithParam<DType> {
 protected:
  // Whether 64 weights of 1 can be rounded when one of them is `x`.
  bool CanRound(float x) {
    std::vector<float> weights(64, 1.0f);
    weights[40] = x;
    std::vector<uint8_t> out(DTypeBytes(GetParam(), 64));
    return QuantizeBlocks(GetParam(), weights, out.data());
  }
};
INSTANTIATE_TEST_SUITE_P(Types, QuantizeBlocksTest, testing::Values(DType::kQ8_0, DType::kQ4_0),
                         [](const auto& info) {
                           return std::string(GetDTypeInfo(info.param).name);
                         });

TEST_P(QuantizeBlocksTest, GivesTheBytesOfTheReference) {
  const GoldenRows golden{std::string(GetDTypeInfo(GetParam()).name)};
  ASSERT_FALSE(golden.values.empty());
  ASSERT_EQ(static_cast<int64_t>(golden.blocks.size()),
            DTypeBytes(GetParam(), static_cast<int64_t>(golden.values.size())));
  std::vector<uint8_t> blocks(golden.blocks.size());
  ASSERT_TRUE(QuantizeBlocks(GetParam(), golden.values, blocks.data()));
  EXPECT_EQ(blocks, golden.blocks);
}

TEST_P(QuantizeBlocksTest, RefusesWhatIsNotFinite) {
  EXPECT_TRUE(CanRound(1.0f));
  EXPECT_FALSE(CanRound(std::numeric_limits<float>::quiet_NaN()));
  EXPECT_FALSE(CanRound(std::numeric_limits<float>::infinity()));
  EXPECT_FALSE(CanRound(-std::numeric_limits<float>::infinity()));
}

TEST_P(QuantizeBlocksTest, RefusesScalesBeyondSixteenBits) {
  EXPECT_TRUE(CanRound(5e5f));
  EXPECT_FALSE(CanRound(-1e7f));
}

TEST_P(QuantizeBlocksTest, TakesWeightsWhoseScaleIsZero) {
  const std::vector<float> tiny(32, std::numeric_limits<float>::denorm_min());
  std::vector<uint8_t> out(DTypeBytes(GetParam(), 32));
  ASSERT_TRUE(QuantizeBlocks(GetParam(), tiny, out.data()));
  uint16_t scale;
  std::memcpy(&scale, out.data(), sizeof(scale));
  EXPECT_EQ(scale & 0x7fff, 0);
}

TEST(CanQuantizeToTest, KnowsItsTypes) {
  EXPECT_TRUE(CanQuantizeTo(DType::kQ8_0));
  EXPECT_TRUE(CanQuantizeTo(DType::kQ4_0));
  EXPECT_THAT((std::vector<bool>{CanQuantizeTo(DType::kF16), CanQuantizeTo(DType::kQ4_K)}),
              Each(false));
}

}  // namespace
}  // namespace tandem
