// Where requests spend time outside of the steps and queues of workers.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/time/time.h"

namespace tandem {

// Means over `num_requests`, as a gateway measures them (server/gateway/stage_timer.h).
struct RequestPath {
  absl::Duration ingress;     // received to the question for workers
  absl::Duration route;       // question to the calls to the workers
  absl::Duration network;     // to the worker and back
  absl::Duration detokenize;  // message to text
  int64_t num_requests = 0;

  // First token to all KV on the decode worker: what of the transfer computing does not hide.
  // Nothing: no KV has travelled.
  std::optional<absl::Duration> kv_exposed;
  int64_t num_handoffs = 0;

  bool operator==(const RequestPath&) const = default;
};

}  // namespace tandem
