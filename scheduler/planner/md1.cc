#include "scheduler/planner/md1.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "engine/core/log.h"

namespace tandem {
namespace {

// Mean wait of an M/D/1 queue: R T^2 / (2 (1 - R T)).
double MeanWait(double rate, double service_time) {
  const double load = rate * service_time;
  if (load >= 1) return std::numeric_limits<double>::infinity();
  return rate * service_time * service_time / (2 * (1 - load));
}

}  // namespace

double MeanTtft(const PrefillQueue& queue, double rate) {
  const double time = queue.service_time;
  switch (queue.kind) {
    case QueueKind::kOneDevice:
      return time + MeanWait(rate, time);
    case QueueKind::kInterOp:  // Each stage takes half as long, and only the first has a queue.
      return time + MeanWait(rate, time / 2);
    case QueueKind::kIntraOp:
      return time / queue.speedup + MeanWait(rate, time / queue.speedup);
  }
  CHECK(false) << "unknown queue";
  return 0;
}

double SimulatedMeanTtft(const PrefillQueue& queue, double rate, int64_t num_requests,
                         uint32_t seed) {
  const bool is_pipeline = queue.kind == QueueKind::kInterOp;
  const double speed = queue.kind == QueueKind::kIntraOp ? queue.speedup : is_pipeline ? 2.0 : 1.0;
  const double stage_time = queue.service_time / speed;
  const int num_stages = is_pipeline ? 2 : 1;
  std::mt19937_64 generator(seed);
  double arrival = 0, sum = 0;
  double free_at[2] = {0, 0};  // when each stage has done all that came so far
  for (int64_t i = 0; i < num_requests; ++i) {
    const double uniform = static_cast<double>(generator() >> 11) * 0x1p-53;
    arrival -= std::log(1 - uniform) / rate;
    double done = arrival;
    for (int stage = 0; stage < num_stages; ++stage) {
      done = free_at[stage] = std::max(done, free_at[stage]) + stage_time;
    }
    sum += done - arrival;
  }
  return sum / static_cast<double>(num_requests);
}

double CrossoverLoad(double speedup) {
  CHECK(speedup > 1 && speedup < 2) << speedup;
  // Inter-op has the longer service and the shorter queue: it is worse at no load, and better just
  // before intra-op's queue grows without bound at a load of `speedup`.
  double low = 0, high = speedup;
  for (int i = 0; i < 100; ++i) {
    const double load = (low + high) / 2;
    const bool inter_op_is_better = MeanTtft({QueueKind::kInterOp, 1, speedup}, load) <
                                    MeanTtft({QueueKind::kIntraOp, 1, speedup}, load);
    (inter_op_is_better ? high : low) = load;
  }
  return (low + high) / 2;
}

}  // namespace tandem
