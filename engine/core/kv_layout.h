// Shape of the KV cache of one instance: what two workers must agree on before KV travels between
// them.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "engine/core/dtype.h"
#include "engine/core/model_config.h"

namespace tandem {

// Types that K and V are kept in. A head of one token is head_dim elements; of kI8, signed bytes
// and behind them a float that multiplies them, which is thus not aligned.
inline bool IsKvDType(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16 ||
         dtype == DType::kI8;
}
inline int64_t KvHeadBytes(DType dtype, int64_t head_dim) {
  return DTypeBytes(dtype, head_dim) +
         (dtype == DType::kI8 ? static_cast<int64_t>(sizeof(float)) : 0);
}

// A block holds the K and V of `block_size` consecutive tokens for every layer. Inside one layer
// the keys of a block are contiguous, [block_size, num_kv_heads] heads, and so are its values;
// a run of consecutive blocks is therefore one contiguous range per layer and component.
struct KvLayout {
  // Raised when the meaning of bytes in a block or frame changes.
  static constexpr uint32_t kVersion = 1;

  int num_layers = 0;
  int num_kv_heads = 0;
  int head_dim = 0;
  int block_size = 16;        // tokens
  DType dtype = DType::kF16;  // IsKvDType

  // Bytes of K (or of V) of one head of one token in one layer.
  int64_t HeadBytes() const { return KvHeadBytes(dtype, head_dim); }
  // Bytes of K (or of V) of one token in one layer.
  int64_t TokenBytes() const { return num_kv_heads * HeadBytes(); }
  // Bytes of K (or of V) of one block in one layer.
  int64_t LayerBlockBytes() const { return TokenBytes() * block_size; }
  // Bytes of one block: K and V of all layers.
  int64_t BlockBytes() const { return 2 * num_layers * LayerBlockBytes(); }
  // Blocks that hold `num_tokens` tokens.
  int NumBlocks(int num_tokens) const { return (num_tokens + block_size - 1) / block_size; }

  // FAILED_PRECONDITION naming the first field in which KV of `source` cannot be placed here. Block
  // sizes may differ: frames name tokens, not blocks.
  absl::Status CheckCanReceive(const KvLayout& source) const;

  std::string DebugString() const;
};

KvLayout MakeKvLayout(const ModelConfig& config, DType dtype, int block_size);

}  // namespace tandem
