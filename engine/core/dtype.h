// Element types of weights, activations and KV, including GGUF's block-quantised ones.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tandem {

enum class DType : uint8_t {
  kF32,
  kF16,
  kBF16,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ8_0,
  kQ4_K,
  kQ5_K,
  kQ6_K,
  kI8,  // KV only: see KvHeadBytes
};

// A quantised tensor stores `block_size` consecutive elements of a row in `block_bytes` bytes;
// plain types have block_size 1.
struct DTypeInfo {
  absl::string_view name;  // "F32", "Q4_1": GGUF's spelling
  int block_size;
  int block_bytes;
};
const DTypeInfo& GetDTypeInfo(DType dtype);

// Bytes of `num_elements` (a multiple of the block size) stored as `dtype`.
inline int64_t DTypeBytes(DType dtype, int64_t num_elements) {
  const DTypeInfo& info = GetDTypeInfo(dtype);
  return num_elements / info.block_size * info.block_bytes;
}

// Accepts the names above in any case and "f32", "float32", "fp16", "bfloat16" and the like.
// INVALID_ARGUMENT names what was given.
absl::StatusOr<DType> ParseDType(absl::string_view name);

}  // namespace tandem
