// Runs loads on one engine and times them: the steps are those of serving, without scheduler and
// network.
//
//   ASSIGN_OR_RETURN(std::unique_ptr<EngineBench> bench, EngineBench::Create(options, loads));
//   RETURN_IF_ERROR(bench->WarmUp(load));
//   ASSIGN_OR_RETURN(const absl::Duration time, bench->Pass(load));
#pragma once

#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/runner/model_runner.h"
#include "server/cli/engine_load.h"

namespace tandem {

class EngineBench {
 public:
  // Loads the model; the KV pool is as large as the largest of `loads` needs. Errors as
  // ModelRunner::Create; INVALID_ARGUMENT names a load that is too long for the model or too wide
  // for one step.
  static absl::StatusOr<std::unique_ptr<EngineBench>> Create(RunnerOptions options,
                                                             const std::vector<EngineLoad>& loads);

  ModelRunner& runner() { return *runner_; }
  LoadWork Work(const EngineLoad& load) const;

  // Makes the load's sequences, computes their context (with `computed_context` false it stores
  // zeros, as if a prefill worker had sent it) and runs a few steps. Token ids are random, the same
  // in every run.
  absl::Status WarmUp(const EngineLoad& load, bool computed_context = true);

  // The load once, with the sequences as WarmUp left them. Returns how long its steps took.
  absl::StatusOr<absl::Duration> Pass(const EngineLoad& load);

 private:
  struct Sequence {
    std::vector<TokenId> tokens;
    std::vector<BlockId> block_table;
  };

  explicit EngineBench(std::unique_ptr<ModelRunner> runner);
  void MakeSequences(const EngineLoad& load);
  void StoreZeros(const EngineLoad& load);
  absl::Status Prefill(Sequence& sequence, int num_tokens);
  // One token of every sequence, appended to it.
  absl::Status DecodeStep();
  absl::Status Run();

  const std::unique_ptr<ModelRunner> runner_;
  SamplingParams sampling_;
  std::vector<Sequence> sequences_;
  Batch batch_;  // reused from step to step
  StepOutput output_;
};

}  // namespace tandem
