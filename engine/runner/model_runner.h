// Executes batches on one instance: builds the inputs, runs Forward(), samples. The step loop of a
// worker owns it.
//
//   ASSIGN_OR_RETURN(std::unique_ptr<ModelRunner> runner, ModelRunner::Create(options));
//   ASSIGN_OR_RETURN(const StepOutput output, runner->Run(scheduler.Schedule(now)));
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "engine/core/batch.h"
#include "engine/core/model_config.h"
#include "engine/kernels/ops.h"
#include "engine/kv/kv_cache.h"
#include "engine/model/transformer.h"
#include "engine/runner/sampler.h"
#include "engine/runner/step_builder.h"
#include "engine/weights/model_weights.h"

namespace tandem {

struct RunnerOptions {
  std::string model_path;  // GGUF file or Hugging Face folder
  OpsOptions ops;
  DType kv_dtype = DType::kF16;      // IsKvDType
  int block_size = 16;               // tokens
  int64_t kv_cache_bytes = 0;        // rounded down to whole blocks; 0: see PlanKvPool
  int max_model_len = 0;             // tokens; 0: the model's context, or what the pool holds
  int max_num_batched_tokens = 512;  // most tokens in one step; sizes the activations
};

// Told, on the thread that computes, that layer `layer` of step `step` has stored its K and V. Must
// not block. KV of a row's positions up to begin + num_tokens is then readable in that layer.
using LayerDoneCallback = std::function<void(uint64_t step, int layer)>;

// One caller at a time; kv_cache() may be read from other threads, as its header says.
class ModelRunner {
 public:
  // Loads the model and allocates the pool. Errors as LoadModel, Ops::Create, PlanKvPool and
  // KvCache::Create; INVALID_ARGUMENT names any other option that is out of range.
  static absl::StatusOr<std::unique_ptr<ModelRunner>> Create(const RunnerOptions& options);

  const ModelConfig& config() const { return model_->config; }
  uint64_t content_hash() const { return model_->content_hash; }
  Isa isa() const { return ops_->isa(); }
  int max_model_len() const { return limits_.max_model_len; }
  int max_num_batched_tokens() const { return max_num_batched_tokens_; }
  KvCache& kv_cache() { return *kv_cache_; }

  void SetLayerDoneCallback(LayerDoneCallback callback) { layer_done_ = std::move(callback); }

  // Computes one step and returns its tokens, on the caller's thread. A row that fails says so in
  // its own status and leaves the others alone: INTERNAL when its numbers are not finite,
  // INVALID_ARGUMENT when it is malformed (see CheckRow) or nothing is left to draw. The step as a
  // whole is refused, INVALID_ARGUMENT, above max_num_batched_tokens.
  absl::StatusOr<StepOutput> Run(const Batch& batch);

 private:
  ModelRunner(std::unique_ptr<Model> model, std::unique_ptr<Ops> ops, std::unique_ptr<KvCache> kv,
              std::unique_ptr<Transformer> transformer, const StepLimits& limits,
              int max_num_batched_tokens);

  const std::unique_ptr<Model> model_;
  const std::unique_ptr<Ops> ops_;
  const std::unique_ptr<KvCache> kv_cache_;
  const std::unique_ptr<Transformer> transformer_;
  const StepLimits limits_;
  const int max_num_batched_tokens_;
  Sampler sampler_;
  LayerDoneCallback layer_done_;  // set before the first step
};

}  // namespace tandem
