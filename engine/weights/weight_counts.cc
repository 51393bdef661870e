#include "engine/weights/weight_counts.h"

namespace tandem {
namespace {

void Count(const Ops& ops, const MatrixView& matrix, MatrixCounts& counts) {
  const int64_t num_weights = matrix.rows * matrix.cols;
  counts.bytes += matrix.packed == nullptr ? matrix.Bytes() : ops.PackedBytes(matrix);
  // Where there are instructions for BF16 their rate is nearer to that of integers.
  const bool has_bfloat16 = ops.isa() == Isa::kAvx512Bf16 || ops.isa() == Isa::kAmx;
  const bool is_float =
      GetDTypeInfo(matrix.dtype).block_size == 1 && !(matrix.dtype == DType::kBF16 && has_bfloat16);
  if (matrix.packed == nullptr || is_float) {
    counts.float_weights += num_weights;
    return;
  }
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
