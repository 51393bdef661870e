// The paged KV pool of one instance on the CPU: one K and one V pool per layer, each
// [num_blocks, block_size, num_kv_heads] of heads as KvHeadBytes describes them. Which block holds
// what is the BlockManager's business. Where an instance has several ranks, each has a cache of its
// layers and heads, and the instance's is all of them joined.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/core/ids.h"
#include "engine/core/kv_layout.h"
#include "engine/kernels/ops.h"

namespace tandem {

enum class KvComponent : uint8_t { kKeys, kValues };

class KvCache;

// What one rank holds of an instance's KV.
struct KvShard {
  int layer_begin = 0;          // the instance's layer that is the cache's first
  std::vector<int> heads;       // the instance's K/V head at each place of the cache's
  std::unique_ptr<KvCache> kv;  // as many blocks of the same size as the instance's

  bool HasLayer(int layer) const;  // of the instance
};

// Memory is mapped, not touched, at creation. Concurrent use is safe on disjoint blocks.
class KvCache {
 public:
  // RESOURCE_EXHAUSTED names the bytes that could not be mapped; INVALID_ARGUMENT a size that is
  // not positive or a dtype that KV is not kept in.
  static absl::StatusOr<std::unique_ptr<KvCache>> Create(const KvLayout& layout, int num_blocks);
  // The same in memory that others map too: `memory`, [Bytes(layout, num_blocks)] on a page
  // boundary, outlives the cache.
  static absl::StatusOr<int64_t> Bytes(const KvLayout& layout, int num_blocks);
  static absl::StatusOr<std::unique_ptr<KvCache>> CreateIn(uint8_t* memory, const KvLayout& layout,
                                                           int num_blocks);
  // All of `shards` as one cache without pools of its own: anything but Layer.
  // Every head of every layer is in a shard.
  static std::unique_ptr<KvCache> Join(const KvLayout& layout, int num_blocks,
                                       std::vector<KvShard> shards);
  ~KvCache();

  const KvLayout& layout() const { return layout_; }
  int num_blocks() const { return num_blocks_; }

  // The pools of one layer, for the kernels.
  LayerKv Layer(int layer) const;

  // The bytes of tokens [token_begin, token_end) of a sequence in one layer, in token order: as few
  // contiguous runs as its blocks allow. Valid while the sequence keeps its blocks.
  std::vector<absl::Span<const uint8_t>> Read(int layer, KvComponent component,
                                              absl::Span<const BlockId> block_table,
                                              int token_begin, int token_end) const;

  // The same range, to be written: a received frame is copied into these runs in order.
  std::vector<absl::Span<uint8_t>> Write(int layer, KvComponent component,
                                         absl::Span<const BlockId> block_table, int token_begin,
                                         int token_end);

  // All of one block as bytes: those of each layer and rank, copies of a head that several ranks
  // hold included. `bytes`: [StoredBlockBytes()], which LoadBlock takes back from SaveBlock.
  int64_t StoredBlockBytes() const;
  void SaveBlock(BlockId block, uint8_t* bytes) const;
  void LoadBlock(BlockId block, const uint8_t* bytes);

  // Brings other copies of heads that several ranks hold up to what was written there.
  void CopyToReplicas(int layer, KvComponent component, absl::Span<const BlockId> block_table,
                      int token_begin, int token_end);

 private:
  KvCache(const KvLayout& layout, int num_blocks, int64_t pool_bytes, uint8_t* data,
          bool owns_data);
  uint8_t* Pool(int layer, KvComponent component) const;
  // Where a block is in one layer, [layout().LayerBlockBytes()].
  uint8_t* LayerBlock(int layer, KvComponent component, BlockId block) const;
  uint8_t* Token(int layer, KvComponent component, absl::Span<const BlockId> block_table,
                 int token) const;
  template <typename Byte>
  std::vector<absl::Span<Byte>> Runs(int layer, KvComponent component,
                                     absl::Span<const BlockId> block_table, int token_begin,
                                     int token_end) const;
  template <typename Byte>
  std::vector<absl::Span<Byte>> JoinedRuns(int layer, KvComponent component,
                                           absl::Span<const BlockId> block_table, int token_begin,
                                           int token_end) const;

  // Neighbouring heads of the instance in one shard.
  struct HeadRun {
    const KvShard* shard = nullptr;
    int place = 0;  // of the first
    int count = 0;
  };
  std::vector<HeadRun> HeadRuns(int layer) const;

  const KvLayout layout_;
  const int num_blocks_;
  const int64_t pool_bytes_;  // of one component of one layer
  uint8_t* const data_;       // pools of layer 0: keys, values; of layer 1; ...; null where joined
  const bool owns_data_;
  std::vector<KvShard> shards_;  // fixed after construction; empty unless joined
};

}  // namespace tandem
