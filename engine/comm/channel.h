// A one-way queue of messages between two ranks: step inputs, activations, logits.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/comm/shared_counter.h"

namespace tandem {

struct ChannelShape {
  int num_slots = 1;       // messages sent and not yet released
  int64_t slot_bytes = 0;  // of the longest message

  // Shared memory that a channel takes; only as much of it is touched as messages are long.
  int64_t Bytes() const;
};

// Both ends make one over the same memory, zeroed before the first. One thread sends, one receives.
class Channel {
 public:
  // `memory`: [shape.Bytes()], 64-byte aligned; it and `waiter` outlive the channel.
  Channel(uint8_t* memory, const ChannelShape& shape, const PeerWaiter& waiter)
      : memory_(memory), shape_(shape), waiter_(waiter) {}

  // Copies `message`, at most slot_bytes, into the queue. Waits while all slots are taken. Errors
  // are the waiter's.
  absl::Status Send(absl::Span<const uint8_t> message);

  // The next message, in place (64-byte aligned) until Release. Waits for it.
  absl::StatusOr<absl::Span<const uint8_t>> Receive();
  void Release();

 private:
  struct Ends {
    SharedCounter sent;
    SharedCounter released;
  };
  Ends& ends() const { return *reinterpret_cast<Ends*>(memory_); }
  uint8_t* Slot(uint64_t message) const;

  uint8_t* const memory_;  // Ends, then slots: int64_t size, padding, message
  const ChannelShape shape_;
  const PeerWaiter& waiter_;
  // Slots follow these; the shared counters are their low halves.
  uint64_t num_sent_ = 0;
  uint64_t num_received_ = 0;
};

}  // namespace tandem
