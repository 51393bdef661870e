// Strong identifiers: a RequestId cannot be passed where an InstanceId is wanted.
#pragma once

#include <cstdint>
#include <functional>
#include <ostream>
#include <string>
#include <utility>

namespace tandem {

template <typename Tag, typename T>
class StrongId {
 public:
  StrongId() = default;
  explicit StrongId(T value) : value_(std::move(value)) {}

  const T& value() const { return value_; }

  friend bool operator==(const StrongId& a, const StrongId& b) { return a.value_ == b.value_; }
  friend bool operator!=(const StrongId& a, const StrongId& b) { return !(a == b); }
  friend bool operator<(const StrongId& a, const StrongId& b) { return a.value_ < b.value_; }
  template <typename H>
  friend H AbslHashValue(H h, const StrongId& id) {
    return H::combine(std::move(h), id.value_);
  }
  friend std::ostream& operator<<(std::ostream& os, const StrongId& id) { return os << id.value_; }

 private:
  T value_{};
};

// One request through its whole life on every process; made by the scheduler's Route. An attempt
// (see Request) tells replays of the same request apart.
using RequestId = StrongId<struct RequestIdTag, uint64_t>;

// One placed instance, such as "prefill-0"; stable over restarts, which its epoch tells apart.
using InstanceId = StrongId<struct InstanceIdTag, std::string>;

// Index of a KV block in a pool. Plain, because it is used as an index everywhere.
using BlockId = int32_t;

// Index into the model's vocabulary.
using TokenId = int32_t;

}  // namespace tandem
