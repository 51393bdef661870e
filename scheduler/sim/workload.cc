#include "scheduler/sim/workload.h"

#include <cmath>
#include <utility>

namespace tandem {
namespace {

// Streams of a workload's seed.
constexpr uint64_t kPromptStream = 1, kOutputStream = 2, kArrivalStream = 3;

double DrawGap(const ArrivalOptions& options, Random& random) {
  if (std::isinf(options.rate)) return 0;
  if (std::isinf(options.burstiness)) return 1 / options.rate;
  return random.Gamma(options.burstiness) / (options.rate * options.burstiness);
}

}  // namespace

absl::Duration Workload::Length() const {
  return requests.empty() ? absl::ZeroDuration() : requests.back().arrival;
}

double Workload::Rate() const {
  const double seconds = absl::ToDoubleSeconds(Length());
  if (seconds <= 0) return std::numeric_limits<double>::infinity();
  return static_cast<double>(requests.size()) / seconds;
}

Workload DrawWorkload(const DrawOptions& options, uint64_t seed) {
  Workload workload{.name = options.prompt.text() + ":" + options.output.text()};
  Random prompts(seed, kPromptStream), outputs(seed, kOutputStream);
  workload.requests.resize(options.num_requests);
  for (TimedRequest& request : workload.requests) {
    request.prompt_tokens = options.prompt.Draw(prompts);
    request.output_tokens = options.output.Draw(outputs);
  }
  return workload;
}

void SetArrivals(Workload& workload, const ArrivalOptions& options, uint64_t seed) {
  Random random(seed, kArrivalStream);
  double seconds = 0;
  for (TimedRequest& request : workload.requests) {
    seconds += DrawGap(options, random);
    request.arrival = absl::Seconds(seconds);
  }
  workload.has_arrivals = true;
}

void ScaleArrivals(Workload& workload, double rate) {
  const double factor = workload.Rate() / rate;
  if (!std::isfinite(factor)) return;
  for (TimedRequest& request : workload.requests) {
    request.arrival = absl::Seconds(absl::ToDoubleSeconds(request.arrival) * factor);
  }
}

void Resize(Workload& workload, int num_requests) {
  const size_t size = workload.requests.size();
  const size_t wanted = static_cast<size_t>(num_requests);
  if (size == 0 || wanted <= size) {
    workload.requests.resize(std::min(size, wanted));
    return;
  }
  const absl::Duration round = workload.Length() + workload.Length() / static_cast<double>(size);
  workload.requests.reserve(wanted);
  for (size_t i = size; i < wanted; ++i) {
    TimedRequest repeated = workload.requests[i % size];
    const auto number = static_cast<int64_t>(i / size);
    repeated.arrival += number * round;
    for (uint64_t& id : repeated.block_ids) id = MixSeed(id, static_cast<uint64_t>(number));
    workload.requests.push_back(std::move(repeated));
  }
}

}  // namespace tandem
