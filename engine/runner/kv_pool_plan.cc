#include "engine/runner/kv_pool_plan.h"

#include <unistd.h>

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "engine/core/ids.h"
#include "engine/core/status_macros.h"

namespace tandem {
namespace {

constexpr int64_t kDefaultSequences = 4;
constexpr int64_t kDefaultMinTokens = 16384;
constexpr int64_t kDefaultMaxSwapBytes = int64_t{4} << 30;  // as vLLM's swap space

int64_t BytesForTokens(const KvLayout& layout, int64_t tokens) {
  return (tokens + layout.block_size - 1) / layout.block_size * layout.BlockBytes();
}

absl::StatusOr<int64_t> NumHostBlocks(const KvLayout& layout, const KvPoolRequest& request,
                                      int64_t num_blocks) {
  if (request.swap_bytes < 0) {
    const int64_t bytes = std::min(kDefaultMaxSwapBytes, request.memory_bytes / 8);
    return std::min(num_blocks, bytes / layout.BlockBytes());
  }
  if (request.swap_bytes > 0 && request.swap_bytes < layout.BlockBytes()) {
    return absl::InvalidArgumentError(absl::StrCat("swap_bytes ", request.swap_bytes,
                                                   " does not hold one block: it must be 0 or ",
                                                   "at least ", layout.BlockBytes()));
  }
  return std::min<int64_t>(request.swap_bytes / layout.BlockBytes(),
                           std::numeric_limits<BlockId>::max());
}

}  // namespace

absl::StatusOr<KvPoolPlan> PlanKvPool(const KvLayout& layout, const KvPoolRequest& request) {
  if (request.max_model_len > request.context_len) {
    return absl::InvalidArgumentError(absl::StrCat("max_model_len ", request.max_model_len,
                                                   " is above the model's context of ",
                                                   request.context_len, " tokens"));
  }
  const int wanted_len = request.max_model_len > 0 ? request.max_model_len : request.context_len;
  int64_t bytes = request.kv_cache_bytes;
  if (bytes == 0) {
    const int64_t tokens = std::max(kDefaultSequences * wanted_len, kDefaultMinTokens);
    bytes = std::min(BytesForTokens(layout, tokens), request.memory_bytes / 4);
  }
  // Block ids are int32_t.
  const int64_t num_blocks =
      std::min<int64_t>(bytes / layout.BlockBytes(), std::numeric_limits<BlockId>::max());
  const int64_t capacity = num_blocks * layout.block_size;
  const int64_t needed = request.max_model_len > 0 ? request.max_model_len : 1;
  if (capacity < needed) {
    return absl::InvalidArgumentError(
        absl::StrCat("a KV cache of ", bytes, " bytes does not hold one sequence of ", needed,
                     " tokens: kv_cache_bytes must be at least ", BytesForTokens(layout, needed)));
  }
  ASSIGN_OR_RETURN(const int64_t num_host_blocks, NumHostBlocks(layout, request, num_blocks));
  KvPoolPlan plan;
  plan.num_blocks = static_cast<int>(num_blocks);
  plan.num_host_blocks = static_cast<int>(num_host_blocks);
  plan.max_model_len = static_cast<int>(std::min<int64_t>(wanted_len, capacity));
  return plan;
}

int64_t MachineMemoryBytes() { return int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE); }

}  // namespace tandem
