#include "server/cli/busy_neighbours.h"

#include <algorithm>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/core/log.h"
#include "engine/core/status_macros.h"

namespace tandem {
namespace {

absl::Status CheckRoom(const RunnerOptions& options, int count) {
  if (count > 0 && options.ranks.NumRanks() > 1) {
    return absl::InvalidArgumentError(
        "option --neighbours: works with instances of one rank, not with --tp or --pp");
  }
  const int num_threads = options.ops.num_threads;
  const int num_cores = static_cast<int>(std::thread::hardware_concurrency());
  if (count == 0 || (count + 1) * num_threads <= num_cores) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("option --neighbours: ", count + 1, " engines of ", num_threads,
                   " threads need more than the machine's ", num_cores, " cores; at most ",
                   std::max(0, num_cores / num_threads - 1), " fit"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<BusyNeighbours>> BusyNeighbours::Start(
    const RunnerOptions& options, int count, std::vector<StepPoint> steps) {
  RETURN_IF_ERROR(CheckRoom(options, count));
  auto neighbours = std::unique_ptr<BusyNeighbours>(new BusyNeighbours(std::move(steps)));
  for (int i = 0; i < count; ++i) {
    ASSIGN_OR_RETURN(std::unique_ptr<StepProbe> probe, StepProbe::Create(options));
    neighbours->probes_.push_back(std::move(probe));
  }
  for (int i = 0; i < count; ++i) {
    neighbours->threads_.emplace_back(
        [self = neighbours.get(), i] { self->Work(*self->probes_[i], i + 1); });
  }
  return neighbours;
}

BusyNeighbours::~BusyNeighbours() {
  stopping_ = true;
  for (std::thread& thread : threads_) thread.join();
}

void BusyNeighbours::Work(StepProbe& probe, int seed) const {
  std::vector<StepPoint> steps = steps_;
  std::mt19937 random(seed);
  while (!stopping_) {
    std::shuffle(steps.begin(), steps.end(), random);
    for (const StepPoint& step : steps) {
      if (stopping_) return;
      if (const auto time = probe.Time(step); !time.ok()) {
        LOG(WARNING) << "a neighbour stops: " << time.status();
        return;
      }
    }
  }
}

}  // namespace tandem
