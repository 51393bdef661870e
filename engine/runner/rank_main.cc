#include "engine/runner/rank_main.h"

#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>
#include <utility>

#include "engine/core/status_macros.h"
#include "engine/runner/model_part.h"
#include "engine/runner/step_message.h"

namespace tandem {

absl::Status RunRank(const RunnerOptions& options, int rank, int fd) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  ASSIGN_OR_RETURN(const std::unique_ptr<InstanceMemory> instance, InstanceMemory::Open(fd));
  if (getppid() != instance->owner()) {
    return absl::AbortedError("the process that started this rank is gone");
  }
  const PeerWaiter waiter;  // the first rank watches all, and we end with it
  ASSIGN_OR_RETURN(std::unique_ptr<Model> model, LoadModel(options.model_path));
  ASSIGN_OR_RETURN(
      const ModelPart part,
      MakeModelPart(std::move(model), {options.ops, options.pack}, *instance, rank, waiter));
  const std::unique_ptr<Channel> steps = instance->Steps(rank, waiter);
  const std::unique_ptr<Channel> logits = instance->Logits(rank, waiter);
  const int tp = instance->shape().ranks.tp;
  // The first rank sees its own stage's layers, and one of a later stage speaks for all.
  const bool reports_layers = rank >= tp && rank % tp == 0;
  SharedCounter& layers_done = instance->LayersDone(rank / tp);
  instance->NumReady().Advance();

  StepInput input;
  while (true) {
    ASSIGN_OR_RETURN(const absl::Span<const uint8_t> message, steps->Receive());
    DecodeStep(message, input);
    absl::Status sent;
    RETURN_IF_ERROR(part.transformer->Forward(
        input,
        [&](int) {
          if (reports_layers) layers_done.Advance();
        },
        [&](int, absl::Span<const float> row) {
          if (!sent.ok()) return;
          sent = logits->Send(
              {reinterpret_cast<const uint8_t*>(row.data()), row.size() * sizeof(float)});
        }));
    RETURN_IF_ERROR(sent);
    steps->Release();
  }
}

}  // namespace tandem
