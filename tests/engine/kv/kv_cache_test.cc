#include "engine/kv/kv_cache.h"

#include <algorithm>
#include <numeric>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tandem {
namespace {

constexpr KvLayout kLayout{
    .num_layers = 3, .num_kv_heads = 2, .head_dim = 5, .block_size = 4, .dtype = DType::kF16};

std::unique_ptr<KvCache> MakeCache(int num_blocks) { return *KvCache::Create(kLayout, num_blocks); }

// The cache as the kernels see it: byte `byte` of token `token` in its block.
uint8_t& ByteOf(const KvCache& cache, int layer, KvComponent component,
                const std::vector<BlockId>& table, int token, int64_t byte) {
  const LayerKv kv = cache.Layer(layer);
  void* pool = component == KvComponent::kKeys ? kv.keys : kv.values;
  const int64_t slot =
      int64_t{table[token / kv.block_size]} * kv.block_size + token % kv.block_size;
  return static_cast<uint8_t*>(pool)[slot * kLayout.TokenBytes() + byte];
}

template <typename Byte>
std::vector<uint8_t> Concatenate(const std::vector<absl::Span<Byte>>& runs) {
  std::vector<uint8_t> bytes;
  for (const auto& run : runs) bytes.insert(bytes.end(), run.begin(), run.end());
  return bytes;
}

TEST(KvCacheTest, WrittenRangesReadBackAndDisturbNothingElse) {
  std::mt19937 random(1);
  constexpr int kBlocks = 24;
  const std::unique_ptr<KvCache> cache = MakeCache(kBlocks);
  // The model: one string of bytes per sequence, layer and component.
  struct Sequence {
    std::vector<BlockId> table;
    std::vector<uint8_t> bytes[3][2];
  };
  std::vector<BlockId> blocks(kBlocks);
  std::iota(blocks.begin(), blocks.end(), 0);
  std::shuffle(blocks.begin(), blocks.end(), random);
  std::vector<Sequence> sequences(3);
  for (size_t i = 0; i < sequences.size(); ++i) {
    Sequence& s = sequences[i];
    s.table.assign(blocks.begin() + i * 8, blocks.begin() + (i + 1) * 8);
    for (auto& layer : s.bytes) {
      for (auto& bytes : layer) bytes.assign(8 * 4 * kLayout.TokenBytes(), 0);
    }
  }
  for (int round = 0; round < 500; ++round) {
    Sequence& s = sequences[random() % sequences.size()];
    const int layer = random() % 3;
    const auto component = static_cast<KvComponent>(random() % 2);
    int begin = random() % 33, end = random() % 33;
    if (begin > end) std::swap(begin, end);
    std::vector<uint8_t>& bytes = s.bytes[layer][static_cast<int>(component)];
    auto next = bytes.begin() + begin * kLayout.TokenBytes();
    for (absl::Span<uint8_t> run : cache->Write(layer, component, s.table, begin, end)) {
      for (uint8_t& byte : run) byte = *next++ = static_cast<uint8_t>(random());
    }
    ASSERT_EQ(next - bytes.begin(), end * kLayout.TokenBytes());
  }
  for (const Sequence& s : sequences) {
    for (int layer = 0; layer < 3; ++layer) {
      for (const KvComponent component : {KvComponent::kKeys, KvComponent::kValues}) {
        const std::vector<uint8_t>& bytes = s.bytes[layer][static_cast<int>(component)];
        EXPECT_EQ(Concatenate(cache->Read(layer, component, s.table, 0, 32)), bytes);
        for (int token = 0; token < 32; ++token) {
          for (int64_t i = 0; i < kLayout.TokenBytes(); ++i) {
            ASSERT_EQ(ByteOf(*cache, layer, component, s.table, token, i),
                      bytes[token * kLayout.TokenBytes() + i]);
          }
        }
      }
    }
  }
}

TEST(KvCacheTest, NeighbouringBlocksAreOneRun) {
  const std::unique_ptr<KvCache> cache = MakeCache(10);
  const std::vector<BlockId> table = {3, 4, 5, 9, 0, 1};
  const auto runs = cache->Read(1, KvComponent::kValues, table, 2, 22);
  ASSERT_EQ(runs.size(), 3u);
  EXPECT_EQ(runs[0].size(), 10u * kLayout.TokenBytes());
  EXPECT_EQ(runs[1].size(), 4u * kLayout.TokenBytes());
  EXPECT_EQ(runs[2].size(), 6u * kLayout.TokenBytes());
}

TEST(KvCacheTest, AQuantisedTokenIsItsHeadsEachWithAScale) {
  KvLayout layout = kLayout;
  layout.dtype = DType::kI8;
  EXPECT_EQ(layout.TokenBytes(), 2 * (5 + 4));
  EXPECT_EQ(layout.BlockBytes(), 3 * 2 * 4 * layout.TokenBytes());
  const auto cache = KvCache::Create(layout, 10);
  ASSERT_TRUE(cache.ok()) << cache.status();
  const auto runs = (*cache)->Read(2, KvComponent::kKeys, {3, 4}, 1, 7);
  ASSERT_EQ(runs.size(), 1u);
  EXPECT_EQ(runs[0].size(), 6u * layout.TokenBytes());
}

TEST(KvCacheTest, EmptyRangeHasNoRuns) {
  const std::unique_ptr<KvCache> cache = MakeCache(2);
  EXPECT_TRUE(cache->Read(0, KvComponent::kKeys, {}, 0, 0).empty());
  EXPECT_TRUE(cache->Read(0, KvComponent::kKeys, {1, 0}, 5, 5).empty());
}

TEST(KvCacheTest, MapsMoreThanThereIsMemoryForUntilItIsTouched) {
  KvLayout layout = kLayout;
  layout.head_dim = 1 << 16;
  const auto cache = KvCache::Create(layout, 1 << 14);  // 96 GiB
  ASSERT_TRUE(cache.ok()) << cache.status();
  const std::vector<BlockId> table = {(1 << 14) - 1};
  const auto runs = (*cache)->Write(2, KvComponent::kValues, table, 3, 4);
  runs[0].back() = 7;
  EXPECT_EQ((*cache)->Read(2, KvComponent::kValues, table, 3, 4)[0].back(), 7);
}

TEST(KvCacheTest, NamesTheBytesThatCannotBeMapped) {
  KvLayout layout = kLayout;
  layout.head_dim = 1 << 20;
  const auto cache = KvCache::Create(layout, 1 << 28);
  EXPECT_EQ(cache.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(cache.status().message()), testing::HasSubstr("27021597764222976 bytes"));

  layout.head_dim = layout.num_kv_heads = layout.block_size = 1 << 30;
  EXPECT_EQ(KvCache::Create(layout, 1 << 30).status().code(), absl::StatusCode::kResourceExhausted);
}

TEST(KvCacheTest, RefusesSizesThatAreNotPositiveAndQuantisedTypes) {
  EXPECT_EQ(KvCache::Create(kLayout, 0).status().code(), absl::StatusCode::kInvalidArgument);
  KvLayout layout = kLayout;
  layout.num_kv_heads = -1;
  EXPECT_EQ(KvCache::Create(layout, 4).status().code(), absl::StatusCode::kInvalidArgument);
  layout = kLayout;
  layout.dtype = DType::kQ8_0;
  EXPECT_EQ(KvCache::Create(layout, 4).status().code(), absl::StatusCode::kInvalidArgument);
}

// Four ranks: two stages of layers {0, 1} and {2}, and in each one rank with heads {0, 1} and one
// with {1, 2}; layers and heads as a model of 3 layers and 3 heads has them.
class JoinedKvCacheTest : public testing::Test {
 protected:
  void SetUp() override {
    layout_.num_kv_heads = 3;
    std::vector<KvShard> shards;
    for (const int layer_begin : {0, 2}) {
      for (const int head_begin : {0, 1}) {
        KvLayout layout = layout_;
        layout.num_layers = layer_begin == 0 ? 2 : 1;
        layout.num_kv_heads = 2;
        shards.push_back({layer_begin, {head_begin, head_begin + 1}, *KvCache::Create(layout, 8)});
        pools_.push_back(shards.back().kv.get());
      }
    }
    joined_ = KvCache::Join(layout_, 8, std::move(shards));
  }

  KvLayout layout_ = kLayout;
  std::vector<KvCache*> pools_;
  std::unique_ptr<KvCache> joined_;
};

TEST_F(JoinedKvCacheTest, WrittenRangesReadBackAndReachEveryRankThatHoldsThem) {
  const std::vector<BlockId> table = {5, 2, 7};
  std::mt19937 random(2);
  for (int layer = 0; layer < 3; ++layer) {
    for (const KvComponent component : {KvComponent::kKeys, KvComponent::kValues}) {
      std::vector<uint8_t> bytes;
      for (absl::Span<uint8_t> run : joined_->Write(layer, component, table, 2, 11)) {
        for (uint8_t& byte : run) bytes.push_back(byte = static_cast<uint8_t>(random()));
      }
      ASSERT_EQ(bytes.size(), 9u * layout_.TokenBytes());
      EXPECT_EQ(Concatenate(joined_->Read(layer, component, table, 2, 11)), bytes);

      joined_->CopyToReplicas(layer, component, table, 2, 11);
      const size_t head_bytes = layout_.TokenBytes() / 3;
      for (const int head_begin : {0, 1}) {
        std::vector<uint8_t> expected;
        for (size_t token = 0; token < 9; ++token) {
          const auto first = bytes.begin() + (3 * token + head_begin) * head_bytes;
          expected.insert(expected.end(), first, first + 2 * head_bytes);
        }
        const KvCache& pool = *pools_[(layer == 2 ? 2 : 0) + head_begin];
        EXPECT_EQ(Concatenate(pool.Read(layer == 2 ? 0 : layer, component, table, 2, 11)),
                  expected);
      }
    }
  }
}

TEST(KvCacheTest, StagesThatHoldAllHeadsKeepTheirRuns) {
  std::vector<KvShard> shards;
  KvLayout layout = kLayout;
  layout.num_layers = 1;
  for (int layer = 0; layer < 3; ++layer) {
    shards.push_back({layer, {0, 1}, *KvCache::Create(layout, 10)});
  }
  const auto joined = KvCache::Join(kLayout, 10, std::move(shards));
  const auto runs = joined->Read(1, KvComponent::kValues, {3, 4, 5, 9, 0, 1}, 2, 22);
  ASSERT_EQ(runs.size(), 3u);
  EXPECT_EQ(runs[0].size(), 10u * kLayout.TokenBytes());
}

TEST(KvCacheTest, LivesInMemoryOfOthers) {
  const int64_t bytes = *KvCache::Bytes(kLayout, 4);
  const std::unique_ptr<KvCache> owner = MakeCache(4);
  auto* const memory = static_cast<uint8_t*>(owner->Layer(0).keys);
  const auto first = *KvCache::CreateIn(memory, kLayout, 4);
  first->Write(2, KvComponent::kValues, {3}, 3, 4)[0].back() = 7;
  EXPECT_EQ(owner->Read(2, KvComponent::kValues, {3}, 3, 4)[0].back(), 7);
  EXPECT_EQ(bytes % (2 * 3), 0);
}

TEST(KvCacheDeathTest, TokensBeyondTheBlockTableAreAProgrammersError) {
  const std::unique_ptr<KvCache> cache = MakeCache(2);
  EXPECT_DEATH(cache->Read(0, KvComponent::kKeys, {1}, 0, 5), "tokens \\[0, 5\\)");
  EXPECT_DEATH(cache->Read(0, KvComponent::kKeys, {2}, 0, 1), "block 2 of 2");
  EXPECT_DEATH(cache->Read(3, KvComponent::kKeys, {1}, 0, 1), "layer 3");
}

}  // namespace
}  // namespace tandem
