// The budgets of one instance, and what they mean for a request. A role is a set of these numbers
// and what the Router sends.
#pragma once

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "engine/core/request.h"

namespace tandem {

struct InstanceOptions {
  int num_blocks = 0;                  // in the KV pool
  int block_size = 16;                 // tokens
  int num_host_blocks = 0;             // in the host tier, for preempted sequences
  absl::Duration block_copy_time;      // of one block between pool and host tier
  int max_model_len = 0;               // prompt and output of one request, in tokens
  int max_num_seqs = 64;               // sequences prefilled, received or decoded at once
  int max_num_batched_tokens = 512;    // in one step; at least max_num_seqs
  int prefill_batch_tokens = 1 << 30;  // of prompts, that keep the device busy: a step that has so
                                       // many takes no further prompt, one that decodes no more
  int max_queued_requests = 1024;      // waiting to be prefilled, or announced and without blocks
  bool prefix_caching = true;          // blocks of requests that have ended are found by later ones
  int depth = 1;                       // batches in flight at once; they share no request
  absl::Duration lease = absl::Seconds(30);  // how long a prefilled prompt waits to be pulled

  // INVALID_ARGUMENT names the field that makes no sense.
  absl::Status Validate() const;

  // INVALID_ARGUMENT: no prompt, or no room for output in max_model_len. RESOURCE_EXHAUSTED: what
  // is to be prefilled never fits the pool.
  absl::Status CheckFits(const Request& request) const;

  // Tokens, prompt included, at which the request ends with kLength. Call when CheckFits.
  int LengthLimit(const Request& request) const;
};

}  // namespace tandem
