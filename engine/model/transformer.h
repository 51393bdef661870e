// The forward pass of a decoder-only transformer. One Forward() serves every architecture
// (ModelConfig says what a layer consists of), prefill and decode alike: a step is rows, whichever
// sequences and positions they belong to.
//
//   transformer->Forward(input, [](int layer) {},
//                        [&](int index, absl::Span<const float> logits) { ... });
#pragma once

#include <cstdint>
#include <memory>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/kernels/ops.h"
#include "engine/kv/kv_cache.h"
#include "engine/model/activations.h"
#include "engine/model/rope.h"
#include "engine/model/step_input.h"
#include "engine/weights/model_weights.h"

namespace tandem {

struct TransformerLimits {
  int max_position = 0;  // positions run in [0, max_position)
  int max_rows = 0;      // most rows in one step
};

// Not thread-safe: one step at a time.
class Transformer {
 public:
  // `model`, `ops` and `kv` must outlive it. INVALID_ARGUMENT: the model's rope is malformed.
  static absl::StatusOr<std::unique_ptr<Transformer>> Create(const Model& model,
                                                             const TransformerLimits& limits,
                                                             Ops& ops, KvCache& kv);

  // Told that all rows' K and V of `layer` are stored, before attention of that layer begins.
  using LayerDone = absl::FunctionRef<void(int layer)>;
  // Handed the logits [vocab_size] of row input.logit_rows[index], in order of index; the span is
  // valid during the call.
  using TakeLogits = absl::FunctionRef<void(int index, absl::Span<const float> logits)>;

  // Computes one step. What a row gets depends on its own sequence alone. `input` has been checked:
  // at least one row and at most max_rows, ids within the vocabulary, slots within the pool.
  void Forward(const StepInput& input, LayerDone layer_done, TakeLogits take_logits);

 private:
  Transformer(const Model& model, RopeTables rope, int max_rows, Ops& ops, KvCache& kv);

  // Both add their result to the residual stream.
  void AttentionBlock(int layer, const StepInput& input, LayerDone layer_done);
  void MlpBlock(int layer, int64_t rows);

  void NormalizeHeads(const std::vector<float>& weight, int64_t rows, int num_heads, float* x);
  void Logits(const StepInput& input, TakeLogits take_logits);

  const ModelConfig& config_;
  const ModelWeights& weights_;
  const RopeTables rope_;
  Ops& ops_;
  KvCache& kv_;
  Activations activations_;
};

}  // namespace tandem
