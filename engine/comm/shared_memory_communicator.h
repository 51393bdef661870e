// A Communicator between processes of one machine.
#pragma once

#include <cstdint>

#include "engine/comm/communicator.h"
#include "engine/comm/shared_counter.h"

namespace tandem {

class SharedMemoryCommunicator : public Communicator {
 public:
  // Shared memory that a group of `size` ranks takes.
  static int64_t Bytes(int size);

  // `memory`: [Bytes(size)], 64-byte aligned and zeroed before the first rank; it and `waiter`
  // outlive the communicator.
  SharedMemoryCommunicator(uint8_t* memory, int rank, int size, const PeerWaiter& waiter)
      : memory_(memory), rank_(rank), size_(size), waiter_(waiter) {}

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  absl::Status AllReduceSum(absl::Span<float> data) override;

 private:
  // Floats that are summed at a time: two of each rank's buffers stay in its L2.
  static constexpr int64_t kChunk = 16 * 1024;

  SharedCounter& Arrivals(int rank) const;
  float* Buffer(int rank, uint32_t round) const;
  absl::Status SumChunk(float* data, int64_t count);

  uint8_t* const memory_;  // a counter per rank, then two buffers per rank
  const int rank_;
  const int size_;
  const PeerWaiter& waiter_;
  uint32_t num_rounds_ = 0;
};

}  // namespace tandem
