// The first rank's side of an instance with several: starts the others, gives them their steps, and
// collects what they have computed.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/comm/channel.h"
#include "engine/kv/kv_cache.h"
#include "engine/model/step_input.h"
#include "engine/runner/instance_memory.h"
#include "engine/runner/rank_processes.h"
#include "engine/weights/rank_slice.h"

namespace tandem {

// One thread, except Check. Calls that wait return UNAVAILABLE once a rank has died; so does every
// one after it.
class OtherRanks {
 public:
  // Their processes begin to load at once. Errors as InstanceMemory::Create and `start`.
  static absl::StatusOr<std::unique_ptr<OtherRanks>> Start(const InstanceShape& shape,
                                                           const StartRank& start);

  const InstanceMemory& memory() const { return *memory_; }
  const PeerWaiter& waiter() const { return waiter_; }

  // The KV of all ranks as one; `slices` are theirs. It must not outlive this object.
  absl::StatusOr<std::unique_ptr<KvCache>> JoinKv(const KvLayout& layout,
                                                  absl::Span<const RankSlice> slices) const;

  // Waits until all have loaded.
  absl::Status AwaitReady();

  // Gives a step to all of them. At most as many as stages may be under way.
  absl::Status Send(const StepInput& input);

  // Tells, in order, of layers of later stages that have stored their KV since it was last called:
  // `step` counts those sent, from 0.
  using LayerDone = absl::FunctionRef<void(uint64_t step, int layer)>;
  void ReportLayers(LayerDone layer_done);
  // Waits for all layers of `step`, reporting them as they come.
  absl::Status AwaitLayers(uint64_t step, LayerDone layer_done);

  // The next row of logits [vocab_size], of the oldest step whose rows have not all been taken;
  // `own` is what the first rank has of it. Valid until the next call.
  absl::StatusOr<absl::Span<const float>> NextLogits(absl::Span<const float> own);

  // UNAVAILABLE names a rank that has died. Thread-safe.
  absl::Status Check() const { return processes_->Check(); }

 private:
  explicit OtherRanks(std::unique_ptr<InstanceMemory> memory);

  int LayersPerStage() const { return memory_->shape().rank_kv.num_layers; }

  const std::unique_ptr<InstanceMemory> memory_;
  std::unique_ptr<RankProcesses> processes_;
  const PeerWaiter waiter_;
  std::vector<std::unique_ptr<Channel>> steps_;   // to ranks 1..
  std::vector<std::unique_ptr<Channel>> logits_;  // of the last stage, except our own
  std::vector<uint64_t> num_told_;                // [pp] layers reported, over all steps
  std::vector<uint8_t> message_;
  std::vector<float> row_;  // [vocab_size]
};

}  // namespace tandem
