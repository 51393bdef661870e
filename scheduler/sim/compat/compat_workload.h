// Requests as simdistserve makes them: lengths from a file or a formula, arrivals drawn as NumPy's
// legacy generator draws them.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace tandem {

struct RequestLengths {
  int prompt_len = 0;
  int output_len = 0;
};

struct CompatRequest {
  double arrival_ms = 0;
  int prompt_len = 0;
  int output_len = 0;
};

// Lines "prompt_len output_len". INVALID_ARGUMENT names the line that is none.
absl::StatusOr<std::vector<RequestLengths>> ParseLengths(absl::string_view text);

// Lengths by formula: request i has prompt_min + 7919 i mod prompt_range, and output_min + 104729 i
// mod output_range (both primes, so the lengths look mixed).
struct SyntheticLengths {
  int prompt_min = 16;
  int prompt_range = 1500;
  int output_min = 1;
  int output_range = 300;

  std::vector<RequestLengths> Make(int num_requests) const;
};

// "16,1500,1,300": the four fields of SyntheticLengths, ranges at least 1.
absl::StatusOr<SyntheticLengths> ParseSyntheticLengths(absl::string_view text);

// `num_requests` draws, with repetition, from `pool`: entry g() mod size, g = mt19937(1000 + seed).
std::vector<RequestLengths> ResampleLengths(absl::Span<const RequestLengths> pool, int num_requests,
                                            uint32_t seed);

// Gaps between arrivals at one request per second, in s; the first is 0.
std::vector<double> PoissonGaps(int num_requests, uint32_t seed);
std::vector<double> FixedGaps(int num_requests);

// Requests of `lengths` that follow each other after `gaps` (equally many), at `rate` > 0 per
// second.
std::vector<CompatRequest> MakeRequests(absl::Span<const RequestLengths> lengths,
                                        absl::Span<const double> gaps, double rate);

// DistServe's own traces: a JSON list of {start_time (s), prompt_len, output_len}, sorted by time
// here; the first arrival becomes 0. INVALID_ARGUMENT names the entry that is malformed.
absl::StatusOr<std::vector<CompatRequest>> ParseCustomTrace(absl::string_view json);

}  // namespace tandem
