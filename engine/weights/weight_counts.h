// How much of a model's weights a step reads and multiplies: what its speed is to be judged by.
#pragma once

#include <cstdint>

#include "engine/kernels/ops.h"
#include "engine/weights/model_weights.h"

namespace tandem {

// Of matrices that a step multiplies its rows with.
struct MatrixCounts {
  int64_t bytes = 0;            // as they are read: packed, or as stored
  int64_t float_weights = 0;    // multiplied in float32
  int64_t integer_weights = 0;  // multiplied in integers
  int64_t byte_weights = 0;     // those of the latter that take 8 bits, not fewer

  int64_t NumWeights() const { return float_weights + integer_weights; }
};

struct WeightCounts {
  MatrixCounts layers;  // read once per step, multiplied with every row
  MatrixCounts head;    // only for rows whose logits are wanted
};

// `model` after PackModel with the same `ops`.
WeightCounts CountWeights(const Ops& ops, const Model& model);

}  // namespace tandem
