#include "engine/comm/channel.h"

#include <cstring>

#include "engine/core/log.h"
#include "engine/core/status_macros.h"

namespace tandem {
namespace {

constexpr int64_t kAlignment = 64;  // a cache line; also where a slot's message begins

int64_t SlotStride(const ChannelShape& shape) {
  return kAlignment + (shape.slot_bytes + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace

int64_t ChannelShape::Bytes() const {
  return 2 * static_cast<int64_t>(sizeof(SharedCounter)) + num_slots * SlotStride(*this);
}

uint8_t* Channel::Slot(uint64_t message) const {
  static_assert(sizeof(Ends) == 2 * sizeof(SharedCounter));
  return memory_ + sizeof(Ends) + message % shape_.num_slots * SlotStride(shape_);
}

absl::Status Channel::Send(absl::Span<const uint8_t> message) {
  const auto size = static_cast<int64_t>(message.size());
  CHECK(size <= shape_.slot_bytes) << size << " bytes in slots of " << shape_.slot_bytes;
  const auto free_after = static_cast<uint32_t>(num_sent_ + 1 - shape_.num_slots);
  RETURN_IF_ERROR(waiter_.Await(ends().released, free_after));
  uint8_t* const slot = Slot(num_sent_++);
  std::memcpy(slot, &size, sizeof(size));
  if (!message.empty()) std::memcpy(slot + kAlignment, message.data(), message.size());
  ends().sent.Advance();
  return absl::OkStatus();
}

absl::StatusOr<absl::Span<const uint8_t>> Channel::Receive() {
  RETURN_IF_ERROR(waiter_.Await(ends().sent, static_cast<uint32_t>(num_received_ + 1)));
  const uint8_t* const slot = Slot(num_received_);
  int64_t size = 0;
  std::memcpy(&size, slot, sizeof(size));
  return absl::MakeConstSpan(slot + kAlignment, size);
}

void Channel::Release() {
  ++num_received_;
  ends().released.Advance();
}

}  // namespace tandem
