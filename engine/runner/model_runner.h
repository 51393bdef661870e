// Executes batches on one instance: builds the inputs, runs Forward(), samples. The step loop of a
// worker owns it.
//
//   ASSIGN_OR_RETURN(std::unique_ptr<ModelRunner> runner, ModelRunner::Create(options));
//   const Batch batch = scheduler.Schedule(now);
//   runner->Copy(batch.copies);
//   RETURN_IF_ERROR(runner->Submit(batch));                     // up to depth() times
//   ASSIGN_OR_RETURN(const StepOutput output, runner->Wait());  // of the oldest
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "engine/core/batch.h"
#include "engine/core/model_config.h"
#include "engine/kernels/ops.h"
#include "engine/kv/host_kv_pool.h"
#include "engine/kv/kv_cache.h"
#include "engine/runner/model_part.h"
#include "engine/runner/other_ranks.h"
#include "engine/runner/rank_processes.h"
#include "engine/runner/sampler.h"
#include "engine/runner/step_builder.h"
#include "engine/weights/pack_model.h"
#include "engine/weights/rank_slice.h"
#include "engine/weights/weight_counts.h"

namespace tandem {

struct RunnerOptions {
  std::string model_path;  // GGUF file or Hugging Face folder
  OpsOptions ops;
  PackOptions pack;
  DType kv_dtype = DType::kF16;      // IsKvDType
  int block_size = 16;               // tokens
  int64_t kv_cache_bytes = 0;        // rounded down to whole blocks; 0: see PlanKvPool
  int64_t swap_bytes = 0;            // for preempted sequences; below 0: see PlanKvPool
  int max_model_len = 0;             // tokens; 0: the model's context, or what the pool holds
  int max_num_batched_tokens = 512;  // most tokens in one step; sizes the activations
  ParallelShape ranks;               // this process is the first rank
  StartRank start_rank;              // starts the others; read only where there are any
};

// Told, on the thread that calls Submit and Wait, that layer `layer` of step `step` has stored its
// K and V. Must not block. KV of a row's positions up to begin + num_tokens is then readable in
// that layer.
using LayerDoneCallback = std::function<void(uint64_t step, int layer)>;

// One caller at a time; kv_cache() may be read from other threads, as its header says.
class ModelRunner {
 public:
  // Loads the model and allocates the pool. Errors as LoadModel, Ops::Create, PlanKvPool,
  // KvCache::Create and MakeRankSlice; INVALID_ARGUMENT names any other option that is out of
  // range; UNAVAILABLE a rank that died while it loaded.
  static absl::StatusOr<std::unique_ptr<ModelRunner>> Create(const RunnerOptions& options);

  const ModelConfig& config() const { return config_; }
  uint64_t content_hash() const { return part_.model->content_hash; }
  Isa isa() const { return part_.ops->isa(); }
  int max_model_len() const { return limits_.max_model_len; }
  int max_num_batched_tokens() const { return max_num_batched_tokens_; }
  // Of this rank.
  WeightCounts weight_counts() const { return CountWeights(*part_.ops, *part_.model); }
  // Of all ranks.
  KvCache& kv_cache() { return joined_kv_ != nullptr ? *joined_kv_ : *part_.kv; }

  // Blocks of the host tier.
  int num_host_blocks() const { return host_kv_ == nullptr ? 0 : host_kv_->num_blocks(); }

  // Does a batch's copies, for all ranks. No step in flight uses their blocks.
  void Copy(absl::Span<const BlockCopy> copies) {
    if (!copies.empty()) host_kv_->Copy(copies);
  }

  void SetLayerDoneCallback(LayerDoneCallback callback) { layer_done_ = std::move(callback); }

  // Batches that may be submitted and not yet waited for: one per pipeline stage.
  int depth() const { return depth_; }
  int num_in_flight() const { return static_cast<int>(in_flight_.size()); }

  // Computes what this rank has to of one step, on the caller's thread, and leaves the rest to the
  // others. What `batch` points to lives until its output has been taken. The step as a whole is
  // refused, INVALID_ARGUMENT, above max_num_batched_tokens. UNAVAILABLE, now and ever after: a
  // rank has died. After an error it is not in flight.
  absl::Status Submit(const Batch& batch);

  // Waits for the oldest step in flight and returns its tokens. A row that fails says so in its own
  // status and leaves the others alone: INTERNAL when its numbers are not finite, INVALID_ARGUMENT
  // when it is malformed (see CheckRow) or nothing is left to draw. UNAVAILABLE as Submit; the step
  // is then no longer in flight.
  absl::StatusOr<StepOutput> Wait();

  // Submit and Wait. Nothing else may be in flight.
  absl::StatusOr<StepOutput> Run(const Batch& batch);

  // UNAVAILABLE names a rank that has died. Thread-safe.
  absl::Status CheckRanks() const;

 private:
  struct StepInFlight {
    Batch batch;
    Step step;
    StepOutput output;
  };

  explicit ModelRunner(const RunnerOptions& options);

  absl::Status Load(const RunnerOptions& options);
  // One process holds the whole model, or ranks share it.
  absl::Status LoadWhole(const RunnerOptions& options, std::unique_ptr<Model> model,
                         const KvLayout& layout);
  absl::Status LoadRanks(const RunnerOptions& options, std::unique_ptr<Model> model,
                         const KvLayout& layout);
  absl::Status Compute(StepInFlight& flight);
  absl::Status Collect(StepInFlight& flight);
  void TakeLogits(StepInFlight& flight, int index, absl::Span<const float> logits);
  void ReportLayer(uint64_t sent, int layer);

  // Fixed once loaded.
  ModelConfig config_;  // of the whole model
  const int max_num_batched_tokens_;
  const int depth_;
  StepLimits limits_;
  std::unique_ptr<OtherRanks> others_;  // null: this rank is alone; outlives what is linked to it
  ModelPart part_;
  std::unique_ptr<KvCache> joined_kv_;   // null: this rank is alone
  std::unique_ptr<HostKvPool> host_kv_;  // null: there is no host tier

  std::deque<StepInFlight> in_flight_;
  std::deque<uint64_t> sent_;  // steps of what others have been sent and we have not collected
  uint64_t num_collected_ = 0;
  Sampler sampler_;
  LayerDoneCallback layer_done_;  // set before the first step
};

}  // namespace tandem
