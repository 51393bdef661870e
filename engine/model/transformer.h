// The forward pass of a decoder-only transformer. One Forward() serves every architecture
// (ModelConfig says what a layer consists of), prefill and decode alike: a step is rows, whichever
// sequences and positions they belong to.
//
//   RETURN_IF_ERROR(transformer->Forward(
//       input, [](int layer) {}, [&](int index, absl::Span<const float> logits) { ... }));
//
// A model may be shared out to ranks (rank_slice.h): each runs its own Forward() of the same step,
// and they meet where activations are summed or handed on.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/comm/channel.h"
#include "engine/comm/communicator.h"
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

// How this rank's layers are joined to those of others; as it is: it has the whole model.
struct RankLinks {
  Communicator* stage = nullptr;  // ranks that share these layers; null: none
  Channel* upstream = nullptr;    // brings the residual stream; null: this is the first stage
  Channel* downstream = nullptr;  // takes it on; null: this is the last stage
  int layer_begin = 0;
  int layer_end = -1;  // -1: all layers
};

// Not thread-safe: one step at a time.
class Transformer {
 public:
  // `model` (sliced, if there are other ranks), `ops`, `kv` (of this rank's layers and heads) and
  // what `links` names must outlive it. INVALID_ARGUMENT: the model's rope is malformed.
  static absl::StatusOr<std::unique_ptr<Transformer>> Create(const Model& model,
                                                             const TransformerLimits& limits,
                                                             Ops& ops, KvCache& kv,
                                                             const RankLinks& links = {});

  // Told that all rows' K and V of `layer` are stored, before attention of that layer begins; where
  // ranks share the layer, that all of them have, after it.
  using LayerDone = absl::FunctionRef<void(int layer)>;
  // Handed the logits (of this rank's part of the vocabulary) of row input.logit_rows[index], in
  // order of index; the span is valid during the call.
  using TakeLogits = absl::FunctionRef<void(int index, absl::Span<const float> logits)>;

  // Computes one step. What a row gets depends on its own sequence alone. `input` has been checked:
  // at least one row and at most max_rows, ids within the vocabulary, slots within the pool.
  // UNAVAILABLE when another rank has died.
  absl::Status Forward(const StepInput& input, LayerDone layer_done, TakeLogits take_logits);

 private:
  Transformer(const Model& model, RopeTables rope, int max_rows, Ops& ops, KvCache& kv);

  // The residual stream before the first of our layers, and what becomes of it after the last.
  absl::Status Begin(const StepInput& input);
  absl::Status HandOn(int64_t rows);

  // Both add their result to the residual stream.
  absl::Status AttentionBlock(int layer, const StepInput& input, LayerDone layer_done);
  absl::Status MlpBlock(int layer, int64_t rows);
  // Adds up what the ranks of the stage have of `x`, [rows, hidden_size].
  absl::Status SumOverRanks(int64_t rows, float* x);

  void NormalizeHeads(const std::vector<float>& weight, int64_t rows, int num_heads, float* x);
  void Logits(const StepInput& input, TakeLogits take_logits);

  const ModelConfig& config_;
  const ModelWeights& weights_;
  const RopeTables rope_;
  Ops& ops_;
  KvCache& kv_;
  RankLinks links_;  // fixed once created
  Activations activations_;
};

}  // namespace tandem
