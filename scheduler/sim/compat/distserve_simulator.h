// simdistserve's semantics, event by event: DistServe's own simulator, whose results this one must
// equal, not its code. Deliberately apart from the production schedulers: it has no KV capacity, no
// transfer time and no limit on a prefill batch. Source: Zhong et al., DistServe, OSDI'24, and the
// behaviour of its released simulator (git 82831f1).
//
//   ASSIGN_OR_RETURN(const auto times, SimulateDistServe(setup, requests));
//   times[i].first_token_ms - requests[i].arrival_ms   // TTFT of request i
#pragma once

#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "scheduler/sim/compat/compat_workload.h"
#include "scheduler/sim/compat/distserve_profile.h"

namespace tandem {

// Instances of each phase; each is a ring of `pp` stages.
struct DistServeSetup {
  bool is_colocated = false;  // vLLM's backend: instances of `prefill` do both phases
  PhaseModel prefill;
  PhaseModel decode;  // unused where colocated
  int num_prefill = 1;
  int num_decode = 1;
  bool is_decode_only = false;  // Requests arrive prefilled: Algorithm 1's simu_decode.
};

struct CompatTimes {
  double first_token_ms = 0;
  double exit_ms = 0;
};

// What a run may miss before its verdict is certain, so that it need not go on.
struct MissBudget {
  double ttft_ms = 0;  // A value of at least this is a miss.
  double tpot_ms = 0;
  size_t max_ttft_misses = 0;
  size_t max_tpot_misses = 0;
  size_t first_request = 0;  // Requests before it count in neither.
};

// The times of each of `requests` (sorted by arrival). INVALID_ARGUMENT names a request that the
// original would queue for ever: a prompt above the prefill capacity or a context above 50,000.
absl::StatusOr<std::vector<CompatTimes>> SimulateDistServe(
    const DistServeSetup& setup, absl::Span<const CompatRequest> requests);

// The same, or nullopt as soon as `budget` is exceeded.
absl::StatusOr<std::optional<std::vector<CompatTimes>>> SimulateDistServeWithin(
    const DistServeSetup& setup, absl::Span<const CompatRequest> requests,
    const MissBudget& budget);

// TPOT in ms as simdistserve defines it: per output token, with the first counted in. 0 without
// output.
double CompatTpot(const CompatRequest& request, const CompatTimes& times);

// Time of a step on one stage, in ms. `tokens`: sum of lengths, `squares`: of squared lengths.
double PrefillStageMs(const PhaseModel& model, int64_t tokens, int64_t squares, bool is_first);
// `context`: sum of what `batch_size` sequences hold, before the token that each gets.
double DecodeStageMs(const PhaseModel& model, int64_t context, int64_t batch_size, bool is_first);

}  // namespace tandem
