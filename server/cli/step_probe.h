// Times single steps of an engine, of any shape, as a worker's step loop runs them.
//
//   ASSIGN_OR_RETURN(std::unique_ptr<StepProbe> probe, StepProbe::Create(options));
//   if (probe->Fits(point)) ASSIGN_OR_RETURN(const absl::Duration time, probe->Time(point));
#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/runner/model_runner.h"
#include "server/cli/step_grid.h"

namespace tandem {

class StepProbe {
 public:
  // Loads the model with the pool that a worker of these options has, full of zeros: what is stored
  // does not change how long a step takes. Errors as ModelRunner::Create.
  static absl::StatusOr<std::unique_ptr<StepProbe>> Create(const RunnerOptions& options);

  ModelRunner& runner() { return *runner_; }

  // Whether a worker of these options could have such a step.
  bool Fits(const StepPoint& point) const;

  // Runs the step once. Token ids are random, the same in every run; each sequence has blocks of
  // its own, so that no cache holds more than it would in serving.
  absl::StatusOr<absl::Duration> Time(const StepPoint& point);

 private:
  explicit StepProbe(std::unique_ptr<ModelRunner> runner);
  // A row that computes `num_tokens` behind `begin` in the next blocks that are not in use.
  void AddRow(int begin, int num_tokens, bool is_prompt);

  const std::unique_ptr<ModelRunner> runner_;
  std::vector<TokenId> tokens_;  // the longest sequence; each is a part of it
  std::vector<BlockId> blocks_;  // of the pool, in order
  SamplingParams sampling_;
  Batch batch_;         // reused
  int next_block_ = 0;  // of those
};

}  // namespace tandem
