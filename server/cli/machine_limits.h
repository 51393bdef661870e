// The bounds that no engine on this machine can pass, measured.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "engine/kernels/ops.h"

namespace tandem {

// FLOP count a multiply-add as two.
struct MachineLimits {
  int64_t buffer_bytes = 0;  // larger than the caches
  double read_bytes_per_s = 0;
  int64_t weight_bytes = 0;
  double weight_read_bytes_per_s = 0;  // of a buffer of weight_bytes: faster where caches hold it
  double float_flop_per_s = 0;
  double integer_flop_per_s = 0;  // weights of weight_bits with 8-bit activations
  int weight_bits = 0;

  // Memory as fast as a step can hope to read it.
  double BestReadBytesPerSecond() const;
};

// Takes about two seconds: the best of several passes each, on the threads and with the instruction
// set of `options`. `weight_bits` is 8 or less. Errors as SpeedProbe::Create.
absl::StatusOr<MachineLimits> MeasureMachineLimits(const OpsOptions& options, int64_t weight_bytes,
                                                   int weight_bits);

}  // namespace tandem
