// A request as schedulers see it: token ids in, token ids out.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "engine/core/ids.h"
#include "engine/core/sampling_params.h"

namespace tandem {

struct Request {
  RequestId id;
  uint32_t attempt = 0;         // rises with every replay; what belongs to a lower one is dropped
  std::vector<TokenId> prompt;  // at least one token
  std::vector<TokenId>
      generated;  // tokens of an earlier attempt, replayed before new ones are drawn
  SamplingParams sampling;
  uint64_t cache_salt = 0;                       // prefixes of other salts are never shared
  uint64_t tenant = 0;                           // tenants of one priority share an instance
  int priority = 0;                              // lower is earlier
  absl::Time arrival;                            // at the gateway
  absl::Time due = absl::InfiniteFuture();       // the first token is wanted by then
  absl::Time deadline = absl::InfiniteFuture();  // drop when it has not begun by then
  bool hand_off = false;  // prefill worker: keep the prompt's KV for a decode worker to pull
};

// Why a request ended on a worker. Stop strings are matched by the gateway, which then aborts.
enum class FinishReason { kNone, kStop, kLength, kAborted, kError };

// The KV of a prompt, wholly received and verified, with the first token that prefill drew. The
// request's blocks are named by the reservation that the DecodeScheduler made for it.
struct KvHandoff {
  RequestId id;
  uint32_t attempt = 0;
  TokenId first_token = 0;
};

}  // namespace tandem
