#include "engine/kv/kv_cache.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "engine/core/log.h"

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

absl::StatusOr<std::unique_ptr<KvCache>> KvCache::Create(const KvLayout& layout, int num_blocks) {
  if (absl::Status status = CheckLayout(layout, num_blocks); !status.ok()) return status;
  int64_t pool_bytes, total_bytes;
  if (!PoolBytes(layout, num_blocks, &pool_bytes) ||
      __builtin_mul_overflow(pool_bytes, int64_t{2} * layout.num_layers, &total_bytes)) {
    return absl::ResourceExhaustedError(absl::StrCat("a KV cache of ", num_blocks, " blocks with ",
                                                     layout.DebugString(),
                                                     " is larger than an address space"));
  }
  // Not reserved: blocks take memory when they are first written.
  void* data = mmap(nullptr, total_bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "cannot map ", total_bytes, " bytes for the KV cache: ", std::strerror(errno)));
  }
  return std::unique_ptr<KvCache>(
      new KvCache(layout, num_blocks, pool_bytes, static_cast<uint8_t*>(data)));
}

KvCache::KvCache(const KvLayout& layout, int num_blocks, int64_t pool_bytes, uint8_t* data)
    : layout_(layout), num_blocks_(num_blocks), pool_bytes_(pool_bytes), data_(data) {}

KvCache::~KvCache() { munmap(data_, pool_bytes_ * 2 * layout_.num_layers); }

uint8_t* KvCache::Pool(int layer, KvComponent component) const {
  CHECK(layer >= 0 && layer < layout_.num_layers) << "layer " << layer;
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
