// Executes batches on one instance: builds the inputs, runs Forward(), samples. The step loop of a
// worker owns it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "engine/core/batch.h"
#include "engine/core/kv_layout.h"
#include "engine/core/model_config.h"
#include "engine/kernels/ops.h"
#include "engine/kv/kv_cache.h"

namespace tandem {

struct RunnerOptions {
  std::string model_path;
  OpsOptions ops;
  DType kv_dtype = DType::kF16;
  int block_size = 16;
  int64_t kv_cache_bytes = 0;  // rounded down to whole blocks
  int max_model_len = 0;       // 0: the model's own context length
  int max_batch_tokens = 512;  // most tokens in one step; sizes the activations
};

// Told, on the thread that computes, that layer `layer` of step `step` has stored its K and V. Must
// not block. KV of a row's positions up to begin + num_tokens is then readable in that layer.
using LayerDoneCallback = std::function<void(uint64_t step, int layer)>;

class ModelRunner {
 public:
  // Loads the model and allocates the pool. Errors as LoadModel; INVALID_ARGUMENT when
  // kv_cache_bytes holds no sequence of max_model_len... see message.
  static absl::StatusOr<std::unique_ptr<ModelRunner>> Create(const RunnerOptions& options);
  virtual ~ModelRunner() = default;

  virtual const ModelConfig& config() const = 0;
  virtual uint64_t content_hash() const = 0;
  virtual int max_model_len() const = 0;
  virtual KvCache& kv_cache() = 0;

  virtual void SetLayerDoneCallback(LayerDoneCallback callback) = 0;

  // Computes one step and returns its tokens, on the caller's thread. INTERNAL when the numbers are
  // not finite (names the request); INVALID_ARGUMENT for a batch over max_batch_tokens.
  virtual absl::StatusOr<StepOutput> Run(const Batch& batch) = 0;
};

}  // namespace tandem
