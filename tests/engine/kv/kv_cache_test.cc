#include "engine/kv/kv_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

namespace tandem {
namespace {

const KvLayout kLayout{.num_layers = 2, .num_kv_heads = 3, .head_dim = 4, .block_size = 5};

std::unique_ptr<KvCache> MakeCache(const KvLayout& layout, int num_blocks) {
  auto cache = KvCache::Create(layout, num_blocks);
  EXPECT_TRUE(cache.ok()) << cache.status();
  return *std::move(cache);
}

template <typename Runs>
size_t NumBytes(const Runs& runs) {
  size_t size = 0;
  for (const auto& run : runs) size += run.size();
  return size;
}

TEST(KvCacheTest, ConsecutiveBlocksAreOneRun) {
  const auto cache = MakeCache(kLayout, 10);
  const std::vector<BlockId> table = {4, 5, 6, 2, 3, 9};
  EXPECT_EQ(cache->Read(0, KvComponent::kKeys, table, 0, 15).size(), 1);
  EXPECT_EQ(cache->Read(0, KvComponent::kKeys, table, 0, 30).size(), 3);
  EXPECT_EQ(cache->Read(1, KvComponent::kValues, table, 7, 8).size(), 1);
  EXPECT_TRUE(cache->Read(1, KvComponent::kValues, table, 7, 7).empty());
}

TEST(KvCacheTest, ThePoolsOfLayersAndComponentsDoNotOverlap) {
  const auto cache = MakeCache(kLayout, 3);
  const std::vector<BlockId> table = {0, 1, 2};
  uint8_t value = 1;
  for (int layer = 0; layer < 2; ++layer) {
    for (KvComponent component : {KvComponent::kKeys, KvComponent::kValues}) {
      for (absl::Span<uint8_t> run : cache->Write(layer, component, table, 0, 15)) {
        std::ranges::fill(run, value);
      }
      ++value;
    }
  }
  value = 1;
  for (int layer = 0; layer < 2; ++layer) {
    for (KvComponent component : {KvComponent::kKeys, KvComponent::kValues}) {
      const auto runs = cache->Read(layer, component, table, 0, 15);
      EXPECT_EQ(NumBytes(runs), 15 * kLayout.TokenBytes());
      for (const auto& run : runs) EXPECT_THAT(run, testing::Each(value));
      ++value;
    }
  }
  EXPECT_EQ(static_cast<uint8_t*>(cache->Layer(1).values)[0], 4);
}

// What one cache reads, another with other blocks and another block size writes: the same tokens
// come out.
TEST(KvCacheTest, TokensMoveBetweenBlockSizes) {
  std::mt19937 random(7);
  for (int round = 0; round < 50; ++round) {
    KvLayout other = kLayout;
    other.block_size = 1 + static_cast<int>(random() % 7);
    const auto from = MakeCache(kLayout, 12), to = MakeCache(other, 60);
    std::vector<BlockId> from_table(12), to_table(60);
    for (int i = 0; i < 12; ++i) from_table[i] = i;
    for (int i = 0; i < 60; ++i) to_table[i] = i;
    std::shuffle(from_table.begin(), from_table.end(), random);
    std::shuffle(to_table.begin(), to_table.end(), random);
    const int begin = static_cast<int>(random() % 40),
              end = begin + 1 + static_cast<int>(random() % 19);

    std::vector<uint8_t> sent;
    for (absl::Span<uint8_t> run : from->Write(1, KvComponent::kKeys, from_table, begin, end)) {
      for (uint8_t& byte : run) sent.push_back(byte = static_cast<uint8_t>(random()));
    }
    size_t at = 0;
    for (absl::Span<uint8_t> run : to->Write(1, KvComponent::kKeys, to_table, begin, end)) {
      std::memcpy(run.data(), sent.data() + at, run.size());
      at += run.size();
    }
    ASSERT_EQ(at, sent.size());
    for (int token = begin; token < end; ++token) {
      const auto a = from->Read(1, KvComponent::kKeys, from_table, token, token + 1);
      const auto b = to->Read(1, KvComponent::kKeys, to_table, token, token + 1);
      ASSERT_EQ(a.size(), 1);
      ASSERT_EQ(b.size(), 1);
      ASSERT_TRUE(std::ranges::equal(a[0], b[0]));
    }
  }
}

TEST(KvCacheTest, APoolThatCannotBeMappedIsAnError) {
  KvLayout huge = kLayout;
  huge.head_dim = 1 << 28;
  EXPECT_EQ(KvCache::Create(huge, 1 << 20).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(KvCache::Create(kLayout, 0).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace tandem
