#include "engine/weights/weight_counts.h"

namespace tandem {
namespace {

void Count(const Ops& ops, const MatrixView& matrix, MatrixCounts& counts) {
  const int64_t num_weights = matrix.rows * matrix.cols;
  if (matrix.packed == nullptr) {
    counts.bytes += matrix.Bytes();
    counts.float_weights += num_weights;
    return;
  }
  counts.bytes += ops.PackedBytes(matrix);
  counts.integer_weights += num_weights;
  if (matrix.dtype == DType::kQ8_0) counts.byte_weights += num_weights;
}

}  // namespace

WeightCounts CountWeights(const Ops& ops, const Model& model) {
  WeightCounts counts;
  for (const LayerWeights& layer : model.weights.layers) {
    for (const MatrixView* matrix :
         {&layer.q, &layer.k, &layer.v, &layer.o, &layer.gate, &layer.up, &layer.down}) {
      Count(ops, *matrix, counts.layers);
    }
  }
  Count(ops, model.weights.head, counts.head);
  return counts;
}

}  // namespace tandem
