// Engines that work beside the one that is measured, as the other workers of a machine do: they
// share its caches and its memory's bandwidth, so a step takes longer than on an empty machine.
#pragma once

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/runner/model_runner.h"
#include "server/cli/step_grid.h"
#include "server/cli/step_probe.h"

namespace tandem {

class BusyNeighbours {
 public:
  // `count` engines of `options`, each with threads and KV of its own, run `steps` in an order of
  // their own until this is destroyed. INVALID_ARGUMENT: instances of several ranks, or more
  // threads than the machine has cores. Errors as StepProbe::Create.
  static absl::StatusOr<std::unique_ptr<BusyNeighbours>> Start(const RunnerOptions& options,
                                                               int count,
                                                               std::vector<StepPoint> steps);
  ~BusyNeighbours();

 private:
  explicit BusyNeighbours(std::vector<StepPoint> steps) : steps_(std::move(steps)) {}
  void Work(StepProbe& probe, int seed) const;

  const std::vector<StepPoint> steps_;
  std::atomic<bool> stopping_ = false;
  std::vector<std::unique_ptr<StepProbe>> probes_;
  std::vector<std::thread> threads_;
};

}  // namespace tandem
