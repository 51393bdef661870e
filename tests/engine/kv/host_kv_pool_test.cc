#include "engine/kv/host_kv_pool.h"

#include <algorithm>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace tandem {
namespace {

constexpr KvLayout kLayout{
    .num_layers = 3, .num_kv_heads = 2, .head_dim = 5, .block_size = 4, .dtype = DType::kF16};

// All of a block, token by token and head by head.
std::vector<uint8_t> Content(const KvCache& cache, BlockId block) {
  std::vector<uint8_t> bytes;
  for (int layer = 0; layer < cache.layout().num_layers; ++layer) {
    for (const KvComponent component : {KvComponent::kKeys, KvComponent::kValues}) {
      for (const auto& run : cache.Read(layer, component, {block}, 0, 4)) {
        bytes.insert(bytes.end(), run.begin(), run.end());
      }
    }
  }
  return bytes;
}

void Fill(KvCache& cache, BlockId block, std::mt19937& random) {
  for (int layer = 0; layer < cache.layout().num_layers; ++layer) {
    for (const KvComponent component : {KvComponent::kKeys, KvComponent::kValues}) {
      for (const auto& run : cache.Write(layer, component, {block}, 0, 4)) {
        for (uint8_t& byte : run) byte = static_cast<uint8_t>(random());
      }
      cache.CopyToReplicas(layer, component, {block}, 0, 4);
    }
  }
}

constexpr CopyDirection kOut = CopyDirection::kOut, kIn = CopyDirection::kIn;

TEST(HostKvPoolTest, BlocksComeBackAsTheyWentAndDisturbNoOthers) {
  std::mt19937 random(1);
  const auto cache = *KvCache::Create(kLayout, 6);
  const auto host = *HostKvPool::Create(cache.get(), 2);
  std::vector<std::vector<uint8_t>> contents;
  for (BlockId block = 0; block < 6; ++block) {
    Fill(*cache, block, random);
    contents.push_back(Content(*cache, block));
  }
  // In their order: block 0 by way of a host block that block 1 takes next.
  host->Copy({{kOut, 0, 1}, {kIn, 4, 1}, {kOut, 1, 1}, {kOut, 2, 0}, {kIn, 2, 1}, {kIn, 0, 0}});
  contents[4] = contents[0];
  contents[0] = contents[2];
  contents[2] = contents[1];
  for (BlockId block = 0; block < 6; ++block) {
    EXPECT_EQ(Content(*cache, block), contents[block]) << block;
  }
}

// Three ranks, two of which keep the same head.
TEST(HostKvPoolTest, CopiesWhatEveryRankHolds) {
  std::mt19937 random(2);
  KvLayout part = kLayout;
  part.num_kv_heads = 1;
  std::vector<KvShard> shards;
  std::vector<KvCache*> caches;
  for (const int head : {0, 1, 1}) {
    shards.push_back({.layer_begin = 0, .heads = {head}, .kv = *KvCache::Create(part, 3)});
    caches.push_back(shards.back().kv.get());
  }
  const auto joined = KvCache::Join(kLayout, 3, std::move(shards));
  EXPECT_EQ(joined->StoredBlockBytes(), 3 * part.BlockBytes());
  const auto host = *HostKvPool::Create(joined.get(), 1);
  Fill(*joined, 0, random);
  host->Copy({{kOut, 0, 0}});
  const std::vector<uint8_t> content = Content(*joined, 0);
  Fill(*joined, 0, random);
  host->Copy({{kIn, 2, 0}});
  EXPECT_EQ(Content(*joined, 2), content);
  EXPECT_EQ(Content(*caches[2], 2), Content(*caches[1], 2)) << "copies of a head stay alike";
}

}  // namespace
}  // namespace tandem
