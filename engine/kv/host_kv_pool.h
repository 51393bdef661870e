// The host tier's memory: whole blocks of a KV cache, kept beside it for sequences that wait. Which
// block holds what is the scheduler's business.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/core/batch.h"
#include "engine/kv/kv_cache.h"

namespace tandem {

// Memory is mapped, not touched, at creation. One thread.
class HostKvPool {
 public:
  // For blocks of `cache`, which outlives it; joined caches are copied rank by rank.
  // RESOURCE_EXHAUSTED names the bytes that could not be mapped.
  static absl::StatusOr<std::unique_ptr<HostKvPool>> Create(KvCache* cache, int num_blocks);
  ~HostKvPool();

  // Does `copies` in their order. Nobody else uses their blocks of the cache meanwhile.
  void Copy(absl::Span<const BlockCopy> copies);

  int num_blocks() const { return num_blocks_; }

 private:
  HostKvPool(KvCache* cache, int num_blocks, uint8_t* data);

  KvCache& cache_;
  const int num_blocks_;
  const int64_t block_bytes_;
  uint8_t* const data_;  // [num_blocks, block_bytes]
};

}  // namespace tandem
