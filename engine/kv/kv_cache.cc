#include "engine/kv/kv_cache.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/core/log.h"
#include "engine/core/status_macros.h"

namespace tandem {
namespace {

constexpr int64_t kPageBytes = 4096;

// Bytes of one pool, rounded up so that each pool starts on a page; false on overflow.
bool PoolBytes(const KvLayout& layout, int num_blocks, int64_t* bytes) {
  if (__builtin_mul_overflow(layout.HeadBytes(), layout.num_kv_heads, bytes) ||
      __builtin_mul_overflow(*bytes, layout.block_size, bytes) ||
      __builtin_mul_overflow(*bytes, num_blocks, bytes) ||
      __builtin_add_overflow(*bytes, kPageBytes - 1, bytes)) {
    return false;
  }
  *bytes = *bytes / kPageBytes * kPageBytes;
  return true;
}

absl::Status CheckLayout(const KvLayout& layout, int num_blocks) {
  const bool positive = layout.num_layers > 0 && layout.num_kv_heads > 0 && layout.head_dim > 0 &&
                        layout.block_size > 0 && num_blocks > 0;
  if (positive && IsKvDType(layout.dtype)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("no KV cache can have ", layout.DebugString(), " blocks=", num_blocks));
}

}  // namespace

absl::StatusOr<int64_t> KvCache::Bytes(const KvLayout& layout, int num_blocks) {
  RETURN_IF_ERROR(CheckLayout(layout, num_blocks));
  int64_t pool_bytes, total_bytes;
  if (!PoolBytes(layout, num_blocks, &pool_bytes) ||
      __builtin_mul_overflow(pool_bytes, int64_t{2} * layout.num_layers, &total_bytes)) {
    return absl::ResourceExhaustedError(absl::StrCat("a KV cache of ", num_blocks, " blocks with ",
                                                     layout.DebugString(),
                                                     " is larger than an address space"));
  }
  return total_bytes;
}

absl::StatusOr<std::unique_ptr<KvCache>> KvCache::Create(const KvLayout& layout, int num_blocks) {
  ASSIGN_OR_RETURN(const int64_t total_bytes, Bytes(layout, num_blocks));
  // Not reserved: blocks take memory when they are first written.
  void* data = mmap(nullptr, total_bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "cannot map ", total_bytes, " bytes for the KV cache: ", std::strerror(errno)));
  }
  return std::unique_ptr<KvCache>(new KvCache(layout, num_blocks,
                                              total_bytes / (2 * layout.num_layers),
                                              static_cast<uint8_t*>(data), /*owns_data=*/true));
}

absl::StatusOr<std::unique_ptr<KvCache>> KvCache::CreateIn(uint8_t* memory, const KvLayout& layout,
                                                           int num_blocks) {
  ASSIGN_OR_RETURN(const int64_t total_bytes, Bytes(layout, num_blocks));
  return std::unique_ptr<KvCache>(new KvCache(
      layout, num_blocks, total_bytes / (2 * layout.num_layers), memory, /*owns_data=*/false));
}

std::unique_ptr<KvCache> KvCache::Join(const KvLayout& layout, int num_blocks,
                                       std::vector<KvShard> shards) {
  std::unique_ptr<KvCache> joined(
      new KvCache(layout, num_blocks, /*pool_bytes=*/0, nullptr, /*owns_data=*/false));
  joined->shards_ = std::move(shards);
  return joined;
}

KvCache::KvCache(const KvLayout& layout, int num_blocks, int64_t pool_bytes, uint8_t* data,
                 bool owns_data)
    : layout_(layout),
      num_blocks_(num_blocks),
      pool_bytes_(pool_bytes),
      data_(data),
      owns_data_(owns_data) {}

bool KvShard::HasLayer(int layer) const {
  return layer >= layer_begin && layer < layer_begin + kv->layout().num_layers;
}

KvCache::~KvCache() {
  if (owns_data_) munmap(data_, pool_bytes_ * 2 * layout_.num_layers);
}

uint8_t* KvCache::Pool(int layer, KvComponent component) const {
  CHECK(layer >= 0 && layer < layout_.num_layers) << "layer " << layer;
  CHECK(data_ != nullptr) << "a joined cache has no pools of its own";
  return data_ + pool_bytes_ * (2 * layer + (component == KvComponent::kValues ? 1 : 0));
}

LayerKv KvCache::Layer(int layer) const {
  return LayerKv{.keys = Pool(layer, KvComponent::kKeys),
                 .values = Pool(layer, KvComponent::kValues),
                 .dtype = layout_.dtype,
                 .block_size = layout_.block_size,
                 .num_kv_heads = layout_.num_kv_heads,
                 .head_dim = layout_.head_dim};
}

template <typename Byte>
std::vector<absl::Span<Byte>> KvCache::Runs(int layer, KvComponent component,
                                            absl::Span<const BlockId> block_table, int token_begin,
                                            int token_end) const {
  CHECK(token_begin >= 0 && token_begin <= token_end &&
        layout_.NumBlocks(token_end) <= static_cast<int>(block_table.size()))
      << "tokens [" << token_begin << ", " << token_end << ") in " << block_table.size()
      << " blocks of " << layout_.block_size;
  if (!shards_.empty()) {
    return JoinedRuns<Byte>(layer, component, block_table, token_begin, token_end);
  }
  uint8_t* const pool = Pool(layer, component);
  const int64_t token_bytes = layout_.TokenBytes();
  std::vector<absl::Span<Byte>> runs;
  for (int token = token_begin; token < token_end;) {
    const BlockId block = block_table[token / layout_.block_size];
    CHECK(block >= 0 && block < num_blocks_) << "block " << block << " of " << num_blocks_;
    const int offset = token % layout_.block_size;
    const int count = std::min(layout_.block_size - offset, token_end - token);
    Byte* const begin = pool + (int64_t{block} * layout_.block_size + offset) * token_bytes;
    const size_t bytes = count * token_bytes;
    if (!runs.empty() && runs.back().data() + runs.back().size() == begin) {
      runs.back() = absl::Span<Byte>(runs.back().data(), runs.back().size() + bytes);
    } else {
      runs.emplace_back(begin, bytes);
    }
    token += count;
  }
  return runs;
}

std::vector<KvCache::HeadRun> KvCache::HeadRuns(int layer) const {
  std::vector<HeadRun> runs;
  for (int head = 0; head < layout_.num_kv_heads; ++head) {
    if (!runs.empty()) {
      HeadRun& last = runs.back();
      const int next = last.place + last.count;
      if (next < static_cast<int>(last.shard->heads.size()) && last.shard->heads[next] == head) {
        ++last.count;
        continue;
      }
    }
    for (const KvShard& shard : shards_) {
      if (!shard.HasLayer(layer)) continue;
      const auto place = std::find(shard.heads.begin(), shard.heads.end(), head);
      if (place == shard.heads.end()) continue;
      runs.push_back({&shard, static_cast<int>(place - shard.heads.begin()), 1});
      break;
    }
  }
  return runs;
}

uint8_t* KvCache::LayerBlock(int layer, KvComponent component, BlockId block) const {
  CHECK(block >= 0 && block < num_blocks_) << "block " << block << " of " << num_blocks_;
  return Pool(layer, component) + block * layout_.LayerBlockBytes();
}

int64_t KvCache::StoredBlockBytes() const {
  if (shards_.empty()) return layout_.BlockBytes();
  int64_t bytes = 0;
  for (const KvShard& shard : shards_) bytes += shard.kv->StoredBlockBytes();
  return bytes;
}

void KvCache::SaveBlock(BlockId block, uint8_t* bytes) const {
  for (const KvShard& shard : shards_) {
    shard.kv->SaveBlock(block, bytes);
    bytes += shard.kv->StoredBlockBytes();
  }
  if (!shards_.empty()) return;
  const int64_t layer_bytes = layout_.LayerBlockBytes();
  for (int layer = 0; layer < layout_.num_layers; ++layer) {
    for (const KvComponent component : {KvComponent::kKeys, KvComponent::kValues}) {
      std::memcpy(bytes, LayerBlock(layer, component, block), layer_bytes);
      bytes += layer_bytes;
    }
  }
}

void KvCache::LoadBlock(BlockId block, const uint8_t* bytes) {
  for (const KvShard& shard : shards_) {
    shard.kv->LoadBlock(block, bytes);
    bytes += shard.kv->StoredBlockBytes();
  }
  if (!shards_.empty()) return;
  const int64_t layer_bytes = layout_.LayerBlockBytes();
  for (int layer = 0; layer < layout_.num_layers; ++layer) {
    for (const KvComponent component : {KvComponent::kKeys, KvComponent::kValues}) {
      std::memcpy(LayerBlock(layer, component, block), bytes, layer_bytes);
      bytes += layer_bytes;
    }
  }
}

uint8_t* KvCache::Token(int layer, KvComponent component, absl::Span<const BlockId> block_table,
                        int token) const {
  const BlockId block = block_table[token / layout_.block_size];
  CHECK(block >= 0 && block < num_blocks_) << "block " << block << " of " << num_blocks_;
  const int64_t slot = int64_t{block} * layout_.block_size + token % layout_.block_size;
  return Pool(layer, component) + slot * layout_.TokenBytes();
}

template <typename Byte>
std::vector<absl::Span<Byte>> KvCache::JoinedRuns(int layer, KvComponent component,
                                                  absl::Span<const BlockId> block_table,
                                                  int token_begin, int token_end) const {
  const std::vector<HeadRun> head_runs = HeadRuns(layer);
  if (head_runs.size() == 1 &&
      head_runs[0].shard->heads.size() == static_cast<size_t>(layout_.num_kv_heads)) {
    const KvShard& shard = *head_runs[0].shard;
    return shard.kv->Runs<Byte>(layer - shard.layer_begin, component, block_table, token_begin,
                                token_end);
  }
  const int64_t head_bytes = layout_.TokenBytes() / layout_.num_kv_heads;
  std::vector<absl::Span<Byte>> runs;
  runs.reserve(head_runs.size() * (token_end - token_begin));
  for (int token = token_begin; token < token_end; ++token) {
    for (const HeadRun& run : head_runs) {
      uint8_t* const heads =
          run.shard->kv->Token(layer - run.shard->layer_begin, component, block_table, token);
      runs.emplace_back(heads + run.place * head_bytes, run.count * head_bytes);
    }
  }
  return runs;
}

void KvCache::CopyToReplicas(int layer, KvComponent component,
                             absl::Span<const BlockId> block_table, int token_begin,
                             int token_end) {
  size_t num_copies = 0;
  for (const KvShard& shard : shards_) {
    if (shard.HasLayer(layer)) num_copies += shard.heads.size();
  }
  if (num_copies <= static_cast<size_t>(layout_.num_kv_heads)) return;
  std::vector<const uint8_t*> heads(layout_.num_kv_heads);  // of one token
  const int64_t head_bytes = layout_.TokenBytes() / layout_.num_kv_heads;
  const std::vector<HeadRun> head_runs = HeadRuns(layer);
  for (int token = token_begin; token < token_end; ++token) {
    auto next = heads.begin();
    for (const HeadRun& run : head_runs) {
      const uint8_t* const first =
          run.shard->kv->Token(layer - run.shard->layer_begin, component, block_table, token);
      for (int i = 0; i < run.count; ++i) *next++ = first + (run.place + i) * head_bytes;
    }
    for (const KvShard& shard : shards_) {
      if (!shard.HasLayer(layer)) continue;
      uint8_t* to = shard.kv->Token(layer - shard.layer_begin, component, block_table, token);
      for (const int head : shard.heads) {
        if (to != heads[head]) std::memcpy(to, heads[head], head_bytes);
        to += head_bytes;
      }
    }
  }
}

std::vector<absl::Span<const uint8_t>> KvCache::Read(int layer, KvComponent component,
                                                     absl::Span<const BlockId> block_table,
                                                     int token_begin, int token_end) const {
  return Runs<const uint8_t>(layer, component, block_table, token_begin, token_end);
}

std::vector<absl::Span<uint8_t>> KvCache::Write(int layer, KvComponent component,
                                                absl::Span<const BlockId> block_table,
                                                int token_begin, int token_end) {
  return Runs<uint8_t>(layer, component, block_table, token_begin, token_end);
}

}  // namespace tandem
