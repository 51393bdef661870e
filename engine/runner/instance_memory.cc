#include "engine/runner/instance_memory.h"

#include <unistd.h>

#include <algorithm>

#include "engine/comm/shared_memory_communicator.h"
#include "engine/core/status_macros.h"
#include "engine/kv/kv_cache.h"
#include "engine/runner/step_message.h"

namespace tandem {
namespace {

constexpr int64_t kPageBytes = 4096;

// Rows of logits that may wait for the sampler: as many as Forward() computes at once.
constexpr int kMaxLogitRows = 64;

}  // namespace

absl::StatusOr<std::unique_ptr<InstanceMemory>> InstanceMemory::Create(const InstanceShape& shape) {
  std::unique_ptr<InstanceMemory> instance(new InstanceMemory());
  RETURN_IF_ERROR(instance->Arrange(shape));
  ASSIGN_OR_RETURN(instance->memory_, SharedMemory::Create(instance->size_));
  instance->header().shape = shape;
  instance->header().owner = getpid();
  return instance;
}

absl::StatusOr<std::unique_ptr<InstanceMemory>> InstanceMemory::Open(int fd) {
  std::unique_ptr<InstanceMemory> instance(new InstanceMemory());
  ASSIGN_OR_RETURN(instance->memory_, SharedMemory::Open(fd));
  RETURN_IF_ERROR(instance->Arrange(instance->shape()));
  return instance;
}

// The same places in every process, as they depend on the shape alone.
absl::Status InstanceMemory::Arrange(const InstanceShape& shape) {
  const int num_ranks = shape.ranks.NumRanks(), depth = shape.ranks.pp;
  ASSIGN_OR_RETURN(const int64_t kv_bytes, KvCache::Bytes(shape.rank_kv, shape.num_blocks));
  // As many steps as stages are under way, so sending one never waits.
  steps_shape_ = {
      depth, MaxStepMessageBytes(shape.max_rows, shape.rank_kv.NumBlocks(shape.max_model_len))};
  activations_shape_ = {
      depth, int64_t{shape.max_rows} * shape.hidden_size * static_cast<int64_t>(sizeof(float))};
  logits_shape_ = {std::min(shape.max_rows, kMaxLogitRows),
                   shape.max_logits * static_cast<int64_t>(sizeof(float))};
  Take(sizeof(Header));
  layers_done_ = Take(shape.ranks.pp * sizeof(SharedCounter));
  for (int stage = 0; stage < shape.ranks.pp; ++stage) {
    sums_.push_back(Take(SharedMemoryCommunicator::Bytes(shape.ranks.tp)));
  }
  for (int rank = 0; rank < num_ranks; ++rank) {
    steps_.push_back(Take(steps_shape_.Bytes()));
    activations_.push_back(Take(activations_shape_.Bytes()));
    logits_.push_back(Take(logits_shape_.Bytes()));
    kv_.push_back(Take(kv_bytes));
  }
  return absl::OkStatus();
}

int64_t InstanceMemory::Take(int64_t bytes) {
  const int64_t offset = size_;
  size_ += (bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
  return offset;
}

SharedCounter& InstanceMemory::LayersDone(int stage) const {
  return reinterpret_cast<SharedCounter*>(At(layers_done_))[stage];
}

std::unique_ptr<Channel> InstanceMemory::Steps(int rank, const PeerWaiter& waiter) const {
  return std::make_unique<Channel>(At(steps_[rank]), steps_shape_, waiter);
}

std::unique_ptr<Channel> InstanceMemory::Activations(int rank, const PeerWaiter& waiter) const {
  return std::make_unique<Channel>(At(activations_[rank]), activations_shape_, waiter);
}

std::unique_ptr<Channel> InstanceMemory::Logits(int rank, const PeerWaiter& waiter) const {
  return std::make_unique<Channel>(At(logits_[rank]), logits_shape_, waiter);
}

}  // namespace tandem
