// What the ranks that share each layer of a model (tensor parallelism) do together.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace tandem {

// One per rank; all ranks of a group make the same calls in the same order. One thread.
class Communicator {
 public:
  virtual ~Communicator() = default;

  virtual int rank() const = 0;  // within the group
  virtual int size() const = 0;

  // data[i] becomes the sum of all ranks' data[i], added in the order of ranks: the same bits on
  // every rank and in every run. What a rank wrote to shared memory before the call, every rank
  // sees after it. UNAVAILABLE when a rank has died; data is then undefined.
  virtual absl::Status AllReduceSum(absl::Span<float> data) = 0;
};

}  // namespace tandem
