#include "engine/kv/kv_cache.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace tandem {
namespace {

// Calls add(data, size) for each contiguous run of the tokens in a pool whose blocks have
// `block_bytes`.
template <typename Add>
void ForEachRun(const KvLayout& layout, uint8_t* pool, absl::Span<const BlockId> block_table,
                int token_begin, int token_end, const Add& add) {
  const int64_t token_bytes = layout.TokenBytes();
  const int64_t block_bytes = layout.LayerBlockBytes();
  uint8_t* run = nullptr;
  int64_t run_bytes = 0;
  for (int token = token_begin; token < token_end;) {
    const int offset = token % layout.block_size;
    const int count = std::min(layout.block_size - offset, token_end - token);
    uint8_t* piece =
        pool + block_table[token / layout.block_size] * block_bytes + offset * token_bytes;
    if (run != nullptr && piece == run + run_bytes) {
      run_bytes += count * token_bytes;
    } else {
      if (run != nullptr) add(run, run_bytes);
      run = piece;
      run_bytes = count * token_bytes;
    }
    token += count;
  }
  if (run != nullptr) add(run, run_bytes);
}

}  // namespace

absl::StatusOr<std::unique_ptr<KvCache>> KvCache::Create(const KvLayout& layout, int num_blocks) {
  const int64_t bytes = layout.BlockBytes() * num_blocks;
  if (bytes <= 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("a KV cache of ", num_blocks, " blocks with ", layout.DebugString()));
  }
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) {
    return absl::ResourceExhaustedError(
        absl::StrCat("cannot map ", bytes, " bytes for the KV cache: ", std::strerror(errno)));
  }
  return std::unique_ptr<KvCache>(new KvCache(layout, num_blocks, static_cast<uint8_t*>(data)));
}

KvCache::KvCache(const KvLayout& layout, int num_blocks, uint8_t* data)
    : layout_(layout), num_blocks_(num_blocks), data_(data) {}

KvCache::~KvCache() { munmap(data_, layout_.BlockBytes() * num_blocks_); }

uint8_t* KvCache::Pool(int layer, KvComponent component) const {
  const int64_t index = 2 * layer + (component == KvComponent::kKeys ? 0 : 1);
  return data_ + index * layout_.LayerBlockBytes() * num_blocks_;
}

LayerKv KvCache::Layer(int layer) const {
  return {.keys = Pool(layer, KvComponent::kKeys),
          .values = Pool(layer, KvComponent::kValues),
          .dtype = layout_.dtype,
          .block_size = layout_.block_size,
          .num_kv_heads = layout_.num_kv_heads,
          .head_dim = layout_.head_dim};
}

std::vector<absl::Span<const uint8_t>> KvCache::Read(int layer, KvComponent component,
                                                     absl::Span<const BlockId> block_table,
                                                     int token_begin, int token_end) const {
  std::vector<absl::Span<const uint8_t>> runs;
  ForEachRun(layout_, Pool(layer, component), block_table, token_begin, token_end,
             [&runs](const uint8_t* data, size_t size) { runs.emplace_back(data, size); });
  return runs;
}

std::vector<absl::Span<uint8_t>> KvCache::Write(int layer, KvComponent component,
                                                absl::Span<const BlockId> block_table,
                                                int token_begin, int token_end) {
  std::vector<absl::Span<uint8_t>> runs;
  ForEachRun(layout_, Pool(layer, component), block_table, token_begin, token_end,
             [&runs](uint8_t* data, size_t size) { runs.emplace_back(data, size); });
  return runs;
}

}  // namespace tandem
