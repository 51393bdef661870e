#include "engine/comm/shared_memory_communicator.h"

#include <algorithm>

#include "engine/core/status_macros.h"

namespace tandem {

int64_t SharedMemoryCommunicator::Bytes(int size) {
  return size * static_cast<int64_t>(sizeof(SharedCounter) + 2 * kChunk * sizeof(float));
}

SharedCounter& SharedMemoryCommunicator::Arrivals(int rank) const {
  return reinterpret_cast<SharedCounter*>(memory_)[rank];
}

float* SharedMemoryCommunicator::Buffer(int rank, uint32_t round) const {
  uint8_t* const buffers = memory_ + size_ * sizeof(SharedCounter);
  return reinterpret_cast<float*>(buffers) + (2 * rank + round % 2) * kChunk;
}

absl::Status SharedMemoryCommunicator::AllReduceSum(absl::Span<float> data) {
  const auto size = static_cast<int64_t>(data.size());
  for (int64_t begin = 0; begin < size; begin += kChunk) {
    RETURN_IF_ERROR(SumChunk(data.data() + begin, std::min(kChunk, size - begin)));
  }
  return absl::OkStatus();
}

// Two buffers suffice: who writes a third time has met all ranks in the second round, so all have
// read the first.
absl::Status SharedMemoryCommunicator::SumChunk(float* data, int64_t count) {
  const uint32_t round = num_rounds_++;
  std::copy_n(data, count, Buffer(rank_, round));
  Arrivals(rank_).Advance();
  for (int rank = 0; rank < size_; ++rank) {
    RETURN_IF_ERROR(waiter_.Await(Arrivals(rank), round + 1));
    const float* const part = Buffer(rank, round);
    if (rank == 0) {
      std::copy_n(part, count, data);
      continue;
    }
    for (int64_t i = 0; i < count; ++i) data[i] += part[i];
  }
  return absl::OkStatus();
}

}  // namespace tandem
