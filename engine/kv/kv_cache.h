// The paged KV pool of one instance on the CPU: one K and one V pool per layer, each
// [num_blocks, block_size, num_kv_heads] of heads as KvHeadBytes describes them. Which block holds
// what is the BlockManager's business.
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

// Memory is mapped, not touched, at creation. Concurrent use is safe on disjoint blocks.
class KvCache {
 public:
  // RESOURCE_EXHAUSTED names the bytes that could not be mapped; INVALID_ARGUMENT a size that is
  // not positive or a dtype that KV is not kept in.
  static absl::StatusOr<std::unique_ptr<KvCache>> Create(const KvLayout& layout, int num_blocks);
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

 private:
  KvCache(const KvLayout& layout, int num_blocks, int64_t pool_bytes, uint8_t* data);
  uint8_t* Pool(int layer, KvComponent component) const;
  template <typename Byte>
  std::vector<absl::Span<Byte>> Runs(int layer, KvComponent component,
                                     absl::Span<const BlockId> block_table, int token_begin,
                                     int token_end) const;

  const KvLayout layout_;
  const int num_blocks_;
  const int64_t pool_bytes_;  // of one component of one layer
  uint8_t* const data_;       // pools of layer 0: keys, values; of layer 1; ...
};

}  // namespace tandem
