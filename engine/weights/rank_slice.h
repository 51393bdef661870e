// What of a model each rank of an instance holds and computes. Pipeline parallelism gives a stage
// some of the layers; tensor parallelism gives each rank of a stage some of the heads, of the MLP's
// width and of the vocabulary.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/weights/model_weights.h"

namespace tandem {

// Rank r is number r % tp of the ranks of stage r / tp.
struct ParallelShape {
  int tp = 1;  // ranks that share each layer
  int pp = 1;  // stages, one after the other

  int NumRanks() const { return tp * pp; }
};

struct RankSlice {
  int layer_begin = 0;
  int layer_end = 0;
  int head_begin = 0;  // query heads
  int num_heads = 0;
  // The model's K/V head that stands at each place of this rank's. All have the same number of
  // query heads here; a head appears twice where its query heads do not divide evenly, and on
  // several ranks where there are more ranks than K/V heads.
  std::vector<int> kv_heads;
  int64_t intermediate_begin = 0;
  int64_t intermediate_end = 0;
  int64_t vocab_begin = 0;  // of the head; empty before the last stage
  int64_t vocab_end = 0;
};

// INVALID_ARGUMENT names a size that does not divide the model's heads or layers, and those that
// do.
absl::Status CheckParallelShape(const ModelConfig& config, const ParallelShape& shape);

// Errors as CheckParallelShape; also INVALID_ARGUMENT, with the sizes that work, where a slice
// would cut a quantised block.
absl::StatusOr<RankSlice> MakeRankSlice(const Model& model, const ParallelShape& shape, int rank);

// Leaves of `model`, not yet packed, what `slice` says: matrices of other stages become empty, and
// num_heads, num_kv_heads and intermediate_size of the configuration are those of the rank. Rows
// are views of what is mapped, columns are copied.
void SliceModel(const RankSlice& slice, Model& model);

}  // namespace tandem
