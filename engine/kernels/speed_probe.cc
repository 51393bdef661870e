#include "engine/kernels/speed_probe.h"

#include <algorithm>
#include <utility>

#include "engine/core/log.h"
#include "engine/core/status_macros.h"
#include "engine/kernels/cpu/cpu_features.h"

namespace tandem {
namespace {

constexpr int64_t kReadTask = 1 << 20;  // bytes that a thread takes at a time
// Parts of the arithmetic for each thread, so that one that starts late costs little.
constexpr int64_t kTasksPerThread = 16;

}  // namespace

absl::StatusOr<std::unique_ptr<SpeedProbe>> SpeedProbe::Create(const OpsOptions& options) {
  ASSIGN_OR_RETURN(const Isa isa, ChooseIsa(options.isa));
  ASSIGN_OR_RETURN(std::unique_ptr<ThreadPool> pool,
                   ThreadPool::Create(options.num_threads, options.cpus));
  return std::unique_ptr<SpeedProbe>(new SpeedProbe(*KernelsOf(isa), std::move(pool)));
}

SpeedProbe::SpeedProbe(const KernelTable& kernels, std::unique_ptr<ThreadPool> pool)
    : kernels_(kernels), pool_(std::move(pool)), sinks_(pool_->num_threads()) {}

void SpeedProbe::Read(absl::Span<const uint8_t> bytes) {
  CHECK(bytes.size() % 256 == 0) << bytes.size() << " bytes";
  const auto size = static_cast<int64_t>(bytes.size());
  pool_->ParallelFor((size + kReadTask - 1) / kReadTask, [&](int64_t task, int thread) {
    const int64_t begin = task * kReadTask;
    sinks_[thread].value +=
        kernels_.probe_read(bytes.data() + begin, std::min(kReadTask, size - begin)) * 0.0f;
  });
}

template <typename Work>
int64_t SpeedProbe::MultiplyAdd(Work work) {
  for (Sink& sink : sinks_) sink.multiply_adds = 0;
  pool_->ParallelFor(kTasksPerThread * pool_->num_threads(), [&](int64_t, int thread) {
    sinks_[thread].multiply_adds += work(&sinks_[thread].value);
  });
  int64_t sum = 0;
  for (const Sink& sink : sinks_) sum += sink.multiply_adds;
  return sum;
}

int64_t SpeedProbe::MultiplyAddFloats(int64_t rounds) {
  return MultiplyAdd([&](float* sink) { return kernels_.probe_floats(rounds, sink); });
}

int64_t SpeedProbe::MultiplyAddIntegers(int64_t rounds, int weight_bits) {
  return MultiplyAdd(
      [&](float* sink) { return kernels_.probe_integers(rounds, weight_bits, sink); });
}

}  // namespace tandem
