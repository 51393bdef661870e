#include "scheduler/planner/phase_search.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/core/log.h"

namespace tandem {
namespace {

// Of the pool that KV comes from: more than a run fills.
constexpr int kEndlessBlocks = 1 << 17;

JoinedPhases Join(const RankedCluster& prefill, const RankedCluster& decode, int num_prefill,
                  int num_decode) {
  return {.placement = {.num_prefill = num_prefill,
                        .num_decode = num_decode,
                        .prefill = prefill.placement.prefill,
                        .decode = decode.placement.decode},
          .promised =
              std::min(num_prefill * prefill.score.rate.mean, num_decode * decode.score.rate.mean)};
}

int NumFor(double demand, const RankedCluster& phase) {
  CHECK(phase.score.rate.mean > 0);
  return std::max(1, static_cast<int>(std::ceil(demand / phase.score.rate.mean)));
}

}  // namespace

void MakePrefillAlone(SimulationOptions* cluster) {
  for (SimInstanceOptions& instance : cluster->instances) instance.role = InstanceRole::kMixed;
}

void MakeDecodeAlone(SimulationOptions* cluster) {
  SimInstanceOptions source = cluster->instances.front();
  source.role = InstanceRole::kPrefill;
  source.latency = LatencyModel();
  source.scheduler.num_blocks = std::max(source.scheduler.num_blocks, kEndlessBlocks);
  source.scheduler.depth = 1;
  source.scheduler.prefix_caching = false;
  cluster->instances.insert(cluster->instances.begin(), std::move(source));
  cluster->nodes.clear();
  cluster->link_bytes_per_second = std::numeric_limits<double>::infinity();
}

SloTargets PrefillTargets(const SloTargets& targets) { return {.ttft = targets.ttft}; }
SloTargets DecodeTargets(const SloTargets& targets) { return {.tpot = targets.tpot}; }

JoinedPhases JoinForDemand(const RankedCluster& prefill, const RankedCluster& decode,
                           double demand) {
  return Join(prefill, decode, NumFor(demand, prefill), NumFor(demand, decode));
}

std::vector<JoinedPhases> JoinInAllRatios(const RankedCluster& prefill, const RankedCluster& decode,
                                          int max_devices) {
  std::vector<JoinedPhases> all;
  for (int num_prefill = 1; num_prefill < kMaxInstances; ++num_prefill) {
    for (int num_decode = 1; num_prefill + num_decode <= kMaxInstances; ++num_decode) {
      const JoinedPhases joined = Join(prefill, decode, num_prefill, num_decode);
      if (joined.placement.NumDevices() <= max_devices) all.push_back(joined);
    }
  }
  std::ranges::stable_sort(all, [](const JoinedPhases& a, const JoinedPhases& b) {
    if (a.PerDevice() != b.PerDevice()) return a.PerDevice() > b.PerDevice();
    return a.placement.NumDevices() < b.placement.NumDevices();
  });
  return all;
}

}  // namespace tandem
