#include "engine/core/kv_layout.h"

#include "absl/strings/str_cat.h"

namespace tandem {

absl::Status KvLayout::CheckCanReceive(const KvLayout& source) const {
  const auto differs = [](absl::string_view field, auto ours, auto theirs) {
    return absl::FailedPreconditionError(
        absl::StrCat("KV layouts differ in ", field, ": ", theirs, " sent, ", ours, " expected"));
  };
  if (source.num_layers != num_layers) return differs("num_layers", num_layers, source.num_layers);
  if (source.num_kv_heads != num_kv_heads) {
    return differs("num_kv_heads", num_kv_heads, source.num_kv_heads);
  }
  if (source.head_dim != head_dim) return differs("head_dim", head_dim, source.head_dim);
  if (source.dtype != dtype) {
    return differs("dtype", GetDTypeInfo(dtype).name, GetDTypeInfo(source.dtype).name);
  }
  return absl::OkStatus();
}

std::string KvLayout::DebugString() const {
  return absl::StrCat("layers=", num_layers, " kv_heads=", num_kv_heads, " head_dim=", head_dim,
                      " block_size=", block_size, " dtype=", GetDTypeInfo(dtype).name);
}

KvLayout MakeKvLayout(const ModelConfig& config, DType dtype, int block_size) {
  return KvLayout{.num_layers = config.num_layers,
                  .num_kv_heads = config.num_kv_heads,
                  .head_dim = config.head_dim,
                  .block_size = block_size,
                  .dtype = dtype};
}

}  // namespace tandem
