// The limits of a machine as work without a clock: reading memory and multiplying, on the threads
// and with the instruction set that an engine of the same options has. The caller times it.
//
//   ASSIGN_OR_RETURN(std::unique_ptr<SpeedProbe> probe, SpeedProbe::Create(options));
//   probe->Read(buffer);                                  // buffer.size() / seconds
//   const int64_t n = probe->MultiplyAddFloats(1000);     // n / seconds
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/kernels/cpu/kernel_table.h"
#include "engine/kernels/ops.h"
#include "engine/kernels/thread_pool.h"

namespace tandem {

// One caller at a time; every call is spread over the threads.
class SpeedProbe {
 public:
  // Errors as Ops::Create.
  static absl::StatusOr<std::unique_ptr<SpeedProbe>> Create(const OpsOptions& options);

  // Reads every byte once. The size is a multiple of 256.
  void Read(absl::Span<const uint8_t> bytes);

  // Both return how many multiply-adds were done, in proportion to `rounds`: in float32; of weights
  // of `weight_bits` (up to 7, or 8) with 8-bit activations.
  int64_t MultiplyAddFloats(int64_t rounds);
  int64_t MultiplyAddIntegers(int64_t rounds, int weight_bits);

 private:
  // Where a thread leaves results that nobody needs; one cache line each.
  struct alignas(64) Sink {
    float value = 0.5f;
    int64_t multiply_adds = 0;
  };

  SpeedProbe(const KernelTable& kernels, std::unique_ptr<ThreadPool> pool);
  template <typename Work>
  int64_t MultiplyAdd(Work work);

  const KernelTable& kernels_;
  const std::unique_ptr<ThreadPool> pool_;
  std::vector<Sink> sinks_;  // [num_threads]
};

}  // namespace tandem
