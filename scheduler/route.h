// A request for workers, and the answer.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "engine/core/ids.h"

namespace tandem {

// The keys of a prompt's prefixes of full blocks of one size, shortest first (prefix_key.h).
struct PromptPrefixes {
  int block_size = 0;
  std::vector<uint64_t> keys;
};

struct RouteRequest {
  int num_prompt_tokens = 0;
  int max_tokens = 0;  // of the answer; 0: not known
  // For each block size that an instance may have; what is missing counts as not cached.
  std::vector<PromptPrefixes> prefixes = {};

  // What is wanted, and whether the request would rather be refused than miss it.
  absl::Duration ttft_target = absl::InfiniteDuration();
  absl::Duration tpot_target = absl::InfiniteDuration();
  bool reject_late = false;

  // A further attempt at a request that was routed before: its id is kept. Absent: a new request.
  std::optional<RequestId> replay_of = std::nullopt;
  uint32_t attempt = 0;
  // Instances that have failed this request, each in the epoch in which it did.
  std::vector<std::pair<InstanceId, uint64_t>> avoid = {};
  // Those of the first attempt, which a further one should share; empty: any.
  std::string numerics = "";
};

struct RouteTarget {
  InstanceId id;
  std::string address;
  uint64_t epoch = 0;
};

struct RouteDecision {
  RequestId request;
  uint32_t attempt = 0;
  std::optional<RouteTarget> prefill;  // absent: `decode` prefills it itself
  RouteTarget decode;
  // Why the request goes another way than it should: "no_prefill_worker", or empty.
  std::string fallback;
  std::string numerics;  // of the request from now on
  bool inexact = false;  // not all have the numerics that were asked for
  // Predicted; zero where the workers have not made enough steps to tell.
  absl::Duration ttft;
  absl::Duration tpot;
};

}  // namespace tandem
