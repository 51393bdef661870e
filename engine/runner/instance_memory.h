// The memory that the ranks of an instance share, and what is where in it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/comm/channel.h"
#include "engine/comm/shared_counter.h"
#include "engine/comm/shared_memory.h"
#include "engine/core/kv_layout.h"
#include "engine/weights/rank_slice.h"

namespace tandem {

// What the first rank has decided and all others need to know. Plain bytes.
struct InstanceShape {
  ParallelShape ranks;
  KvLayout rank_kv;  // of each rank: its layers and heads
  int num_blocks = 0;
  int max_model_len = 0;
  int max_rows = 0;  // of a step
  int hidden_size = 0;
  int max_logits = 0;  // entries of the vocabulary on one rank, at most
};

// Immutable itself; who may touch what is said by the classes made over it.
class InstanceMemory {
 public:
  // The first rank's process makes it. Errors as SharedMemory::Create and KvCache::Bytes.
  static absl::StatusOr<std::unique_ptr<InstanceMemory>> Create(const InstanceShape& shape);
  // The others find it behind an inherited descriptor. Errors as SharedMemory::Open.
  static absl::StatusOr<std::unique_ptr<InstanceMemory>> Open(int fd);

  const InstanceShape& shape() const { return header().shape; }
  int fd() const { return memory_->fd(); }
  pid_t owner() const { return header().owner; }  // process of the first rank

  SharedCounter& NumReady() const { return header().num_ready; }  // ranks that have loaded
  // Layers of a stage whose KV is stored, over all steps. Of the first stage: unused.
  SharedCounter& LayersDone(int stage) const;

  uint8_t* Sums(int stage) const { return At(sums_[stage]); }  // of its communicator
  uint8_t* Kv(int rank) const { return At(kv_[rank]); }        // of its pools

  // Channels, as new ends: step inputs to a rank from the first one, activations to it from the
  // stage before, logits from it to the first one.
  std::unique_ptr<Channel> Steps(int rank, const PeerWaiter& waiter) const;
  std::unique_ptr<Channel> Activations(int rank, const PeerWaiter& waiter) const;
  std::unique_ptr<Channel> Logits(int rank, const PeerWaiter& waiter) const;

 private:
  struct Header {
    InstanceShape shape;
    pid_t owner;
    SharedCounter num_ready;
  };

  InstanceMemory() = default;
  absl::Status Arrange(const InstanceShape& shape);
  int64_t Take(int64_t bytes);
  uint8_t* At(int64_t offset) const { return memory_->data() + offset; }
  Header& header() const { return *reinterpret_cast<Header*>(memory_->data()); }

  std::unique_ptr<SharedMemory> memory_;
  int64_t size_ = 0;
  ChannelShape steps_shape_, activations_shape_, logits_shape_;
  int64_t layers_done_ = 0;                            // offsets, here and below
  std::vector<int64_t> sums_;                          // [pp]
  std::vector<int64_t> kv_;                            // [ranks]
  std::vector<int64_t> steps_, activations_, logits_;  // [ranks]
};

}  // namespace tandem
