// Decodes stored weights one element at a time: the plain statement of each GGUF layout, against
// which the vector kernels are tested.
#pragma once

#include <vector>

#include "engine/tensor/tensor.h"

namespace tandem {

// Row `row` as floats: [matrix.cols].
std::vector<float> DequantizeRow(const MatrixView& matrix, int64_t row);

}  // namespace tandem
