// Totals of the KV a worker has sent and received since its start.
#pragma once

#include <atomic>
#include <cstdint>

namespace tandem {

struct KvCounters {
  std::atomic<int64_t> bytes_sent = 0;
  std::atomic<int64_t> bytes_received = 0;
  std::atomic<int64_t> bad_frames = 0;  // damaged, refused, lost, or received twice
  std::atomic<int64_t> retries = 0;     // of transfers that failed
};

}  // namespace tandem
