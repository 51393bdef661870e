// Packed weights for the kernels' tests.
#pragma once

#include <vector>

#include "engine/kernels/ops.h"
#include "engine/tensor/tensor.h"

namespace tandem {

inline constexpr DType kQuantisedTypes[] = {DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1,
                                            DType::kQ8_0, DType::kQ4_K, DType::kQ5_K, DType::kQ6_K};

// A matrix and its packed copy.
class PackedMatrix {
 public:
  PackedMatrix(Ops& ops, const MatrixView& stored) : bytes_(ops.PackedBytes(stored)) {
    view_ = ops.Pack(stored, bytes_.data());
  }
  const MatrixView& view() const { return view_; }

 private:
  AlignedBuffer<uint8_t> bytes_;
  MatrixView view_;
};

inline std::vector<float> Multiply(Ops& ops, const std::vector<float>& x, int64_t rows,
                                   const MatrixView& w, const float* bias, Precision precision) {
  std::vector<float> out(rows * w.rows);
  ops.MatMul(x.data(), rows, {{w, bias, out.data()}}, precision);
  return out;
}

}  // namespace tandem
