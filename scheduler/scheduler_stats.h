// The state of one instance's scheduler at one moment, for heartbeats and metrics.
#pragma once

#include <cstdint>

#include "scheduler/block_manager.h"
#include "scheduler/host_tier.h"

namespace tandem {

struct SchedulerStats {
  // Now.
  BlockCounts blocks{};  // by BlockState; adds up to num_blocks
  int num_blocks = 0;
  HostBlockCounts host_blocks;
  int waiting_requests = 0;    // to be prefilled here, preempted ones included
  int64_t waiting_tokens = 0;  // of these and of those being prefilled, still to be computed
  int prefilling_requests = 0;
  int decoding_requests = 0;
  int64_t decoding_tokens = 0;  // of these, prompts and outputs so far
  int expected_requests = 0;    // announced, no blocks held for them yet
  int receiving_requests = 0;
  int leased_requests = 0;

  // Since the start.
  int64_t steps = 0;  // committed
  int64_t failed_steps = 0;
  int64_t prompt_tokens = 0;  // computed in prefill, those computed again included
  int64_t generated_tokens = 0;
  int64_t prefix_queried_tokens = 0;  // of requests that began here, or whose KV was reserved for
  int64_t prefix_hit_tokens = 0;      // of these, whose KV was here already
  int64_t preemptions = 0;
  int64_t swaps = 0;  // of these, whose KV was kept in the host tier
  int64_t swapped_out_blocks = 0;
  int64_t swapped_in_blocks = 0;
  int64_t recomputes = 0;         // transfers given up for a prefill here
  int64_t finished_requests = 0;  // stop or length
  int64_t handed_off_requests = 0;
  int64_t aborted_requests = 0;
  int64_t expired_leases = 0;
  int64_t failed_requests = 0;   // accepted, then failed
  int64_t refused_requests = 0;  // not accepted by Add or Expect
  int64_t ledger_breaches = 0;   // must stay 0
};

}  // namespace tandem
