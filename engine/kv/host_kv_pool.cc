#include "engine/kv/host_kv_pool.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "engine/core/log.h"

namespace tandem {

absl::StatusOr<std::unique_ptr<HostKvPool>> HostKvPool::Create(KvCache* cache, int num_blocks) {
  CHECK(num_blocks > 0) << num_blocks << " host blocks";
  const int64_t bytes = num_blocks * cache->StoredBlockBytes();
  // Not reserved: blocks take memory when they are first written.
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) {
    return absl::ResourceExhaustedError(
        absl::StrCat("cannot map ", bytes, " bytes to swap KV to: ", std::strerror(errno)));
  }
  return std::unique_ptr<HostKvPool>(
      new HostKvPool(cache, num_blocks, static_cast<uint8_t*>(data)));
}

HostKvPool::HostKvPool(KvCache* cache, int num_blocks, uint8_t* data)
    : cache_(*cache),
      num_blocks_(num_blocks),
      block_bytes_(cache->StoredBlockBytes()),
      data_(data) {}

HostKvPool::~HostKvPool() { munmap(data_, num_blocks_ * block_bytes_); }

void HostKvPool::Copy(absl::Span<const BlockCopy> copies) {
  for (const BlockCopy& copy : copies) {
    CHECK(copy.host_block >= 0 && copy.host_block < num_blocks_)
        << "host block " << copy.host_block << " of " << num_blocks_;
    uint8_t* const bytes = data_ + copy.host_block * block_bytes_;
    if (copy.direction == CopyDirection::kOut) {
      cache_.SaveBlock(copy.block, bytes);
    } else {
      cache_.LoadBlock(copy.block, bytes);
    }
  }
}

}  // namespace tandem
