// What a scheduler tells its owner: plain data, in the order in which it happened.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "engine/core/batch.h"
#include "engine/core/ids.h"
#include "engine/core/request.h"

namespace tandem {

enum class EventKind {
  kBegun,           // first positions are in the batch just scheduled; sent once per request
  kReserved,        // blocks for KV from elsewhere are held: let it come
  kToken,           // an output token was drawn
  kPromptLogprobs,  // some positions of the prompt, each sent once, in order
  kPreempted,       // lost its blocks to an older request; goes on by itself later

  // The last event of a request; each gets exactly one of these.
  kFinished,      // stop, length, aborted
  kHandedOff,     // prefill worker: a decode worker has all of its KV
  kLeaseExpired,  // prefill worker: nobody pulled its KV in time, it was dropped
  kFailed,
};

// Fields that the kind does not name keep their defaults.
struct Event {
  EventKind kind = EventKind::kBegun;
  RequestId id;
  uint32_t attempt = 0;

  // kBegun, kReserved: tokens whose KV is (to be) stored, and the blocks that hold them from
  // position 0 on. The table may be longer than the tokens need.
  int num_tokens = 0;
  std::vector<BlockId> block_table;
  int num_cached_tokens = 0;  // the first ones, whose KV is here already

  // kToken: `index` counts the request's output tokens from 0, those of earlier attempts included.
  SampledToken token;
  int index = 0;

  std::vector<PromptLogprob> prompt_logprobs;  // kPromptLogprobs

  FinishReason reason = FinishReason::kNone;  // kFinished
  std::optional<TokenId> stop_token;          // kFinished with kStop

  absl::Status status;  // kFailed
};

// True for the kinds that end a request.
inline bool IsTerminal(EventKind kind) { return kind >= EventKind::kFinished; }

}  // namespace tandem
