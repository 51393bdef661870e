#include "server/cli/machine_limits.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "absl/functional/function_ref.h"
#include "absl/time/clock.h"
#include "engine/core/status_macros.h"
#include "engine/kernels/speed_probe.h"
#include "engine/runner/kv_pool_plan.h"
#include "engine/tensor/tensor.h"
#include "server/cli/process_facts.h"

namespace tandem {
namespace {

constexpr absl::Duration kProbeTime = absl::Milliseconds(400);
constexpr int kMinPasses = 5;

// The most work per second of several passes; `pass` returns how much it did.
double BestRate(absl::FunctionRef<double()> pass) {
  pass();  // wakes threads, faults pages in
  double best = 0;
  const absl::Time end = absl::Now() + kProbeTime;
  for (int i = 0; i < kMinPasses || absl::Now() < end; ++i) {
    const absl::Time start = absl::Now();
    const double work = pass();
    best = std::max(best, work / absl::ToDoubleSeconds(absl::Now() - start));
  }
  return best;
}

// Passes of about 10 ms, so that a thread that starts late counts for little.
double BestFlopPerSecond(absl::FunctionRef<int64_t(int64_t rounds)> multiply_add) {
  int64_t rounds = 1;
  while (true) {
    const absl::Time start = absl::Now();
    multiply_add(rounds);
    if (absl::Now() - start > absl::Milliseconds(10)) break;
    rounds *= 2;
  }
  return BestRate([&] { return 2.0 * static_cast<double>(multiply_add(rounds)); });
}

double BestReadRate(SpeedProbe& probe, const AlignedBuffer<uint8_t>& buffer, int64_t bytes) {
  const auto span = absl::MakeConstSpan(buffer.data(), bytes);
  return BestRate([&] {
    probe.Read(span);
    return static_cast<double>(bytes);
  });
}

// As packed weights have them: reads are faster.
void UseLargePages(AlignedBuffer<uint8_t>& buffer) {
  void* data = buffer.data();
  size_t size = buffer.size();
  if (std::align(sysconf(_SC_PAGESIZE), 1, data, size) != nullptr) {
    madvise(data, size, MADV_HUGEPAGE);
  }
}

}  // namespace

double MachineLimits::BestReadBytesPerSecond() const {
  return std::max(read_bytes_per_s, weight_read_bytes_per_s);
}

absl::StatusOr<MachineLimits> MeasureMachineLimits(const OpsOptions& options, int64_t weight_bytes,
                                                   int weight_bits) {
  ASSIGN_OR_RETURN(const std::unique_ptr<SpeedProbe> probe, SpeedProbe::Create(options));
  constexpr int64_t kGrain = 256;  // bytes that SpeedProbe::Read takes at once
  constexpr int64_t kMinBuffer = int64_t{256} << 20;
  const int64_t max_buffer = std::max(kMinBuffer, MachineMemoryBytes() / 8 / kGrain * kGrain);
  MachineLimits limits;
  limits.buffer_bytes = std::clamp(4 * LargestCacheBytes(), kMinBuffer, max_buffer);
  limits.weight_bytes = std::clamp(weight_bytes / kGrain * kGrain, kGrain, max_buffer);
  limits.weight_bits = weight_bits;

  AlignedBuffer<uint8_t> buffer(std::max(limits.buffer_bytes, limits.weight_bytes));
  UseLargePages(buffer);
  std::memset(buffer.data(), 1, buffer.size());
  limits.read_bytes_per_s = BestReadRate(*probe, buffer, limits.buffer_bytes);
  limits.weight_read_bytes_per_s = BestReadRate(*probe, buffer, limits.weight_bytes);
  limits.float_flop_per_s =
      BestFlopPerSecond([&](int64_t rounds) { return probe->MultiplyAddFloats(rounds); });
  limits.integer_flop_per_s = BestFlopPerSecond(
      [&](int64_t rounds) { return probe->MultiplyAddIntegers(rounds, weight_bits); });
  return limits;
}

}  // namespace tandem
