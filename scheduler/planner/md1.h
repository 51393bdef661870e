// Mean TTFT of prefill under Poisson arrivals, every prompt alike: DistServe, section 3.1,
// equations 1 to 3, and a queue that is simulated to check them. D: time of a prompt on one device,
// R: arrivals per second; all times in seconds.
#pragma once

#include <cstdint>

namespace tandem {

enum class QueueKind {
  kOneDevice,
  kInterOp,
  kIntraOp
};  // two devices: two stages, or a split layer

struct PrefillQueue {
  QueueKind kind = QueueKind::kOneDevice;
  double service_time = 0.2;  // D
  double speedup = 1.5;       // K: what the second device is worth to intra-operator parallelism
};

// Mean TTFT by the formulae; infinity where the queue grows without bound.
double MeanTtft(const PrefillQueue& queue, double rate);

// Mean TTFT of `num_requests` simulated arrivals: FCFS, one prompt at a time on each stage.
double SimulatedMeanTtft(const PrefillQueue& queue, double rate, int64_t num_requests,
                         uint32_t seed);

// R * D above which two stages have a lower mean TTFT than a split layer with speed-up `speedup`
// in (1, 2).
double CrossoverLoad(double speedup);

}  // namespace tandem
