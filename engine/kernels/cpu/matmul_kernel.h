// Products of activations with stored weights.
//
// Every output is one chain: 16 lanes accumulate over k in ascending order, then the lanes are
// added in a fixed tree. Which outputs share registers, and whether a weight was decoded in
// registers or into a panel first, changes nothing in that chain. So an output has the same bits
// however many rows are computed together.
#pragma once

#include <cstdint>

#include "engine/kernels/cpu/kernel_table.h"
#include "engine/kernels/cpu/weight_blocks.h"

namespace tandem {

// sums[i][n] = sum_k x[i, k] * w[n][k] for kX rows of x and kW rows of weights.
template <typename V, DType D, int kW, int kX>
[[gnu::always_inline]] inline void DotTile(const uint8_t* const (&w)[kW], const float* x,
                                           int64_t x_stride, int64_t cols, float (&sums)[kX][kW]) {
  using F = typename V::F;
  using Block = WeightBlock<V, D>;
  F accumulators[kX][kW];
#pragma GCC unroll 8
  for (int i = 0; i < kX; ++i) {
#pragma GCC unroll 8
    for (int n = 0; n < kW; ++n) accumulators[i][n] = V::Zero();
  }
  const int64_t num_blocks = cols / Block::kSize;
  for (int64_t b = 0; b < num_blocks; ++b) {
    Block blocks[kW];
#pragma GCC unroll 8
    for (int n = 0; n < kW; ++n) blocks[n].Load(w[n] + b * Block::kBytes);
#pragma GCC unroll 2
    for (int part = 0; part < Block::kSize / 16; ++part) {
      F weights[kW];
#pragma GCC unroll 8
      for (int n = 0; n < kW; ++n) weights[n] = blocks[n].Part(part);
#pragma GCC unroll 8
      for (int i = 0; i < kX; ++i) {
        const F value = V::Load(x + i * x_stride + b * Block::kSize + part * 16);
#pragma GCC unroll 8
        for (int n = 0; n < kW; ++n) {
          accumulators[i][n] = V::MulAdd(weights[n], value, accumulators[i][n]);
        }
      }
    }
  }
  if constexpr (kHasTail<V, D>) {
    const int64_t done = num_blocks * Block::kSize;
    if (done < cols) {
#pragma GCC unroll 8
      for (int n = 0; n < kW; ++n) {
        const F weight = Block::Tail(w[n] + num_blocks * Block::kBytes, cols - done);
#pragma GCC unroll 8
        for (int i = 0; i < kX; ++i) {
          const F value = V::LoadPartial(x + i * x_stride + done, cols - done);
          accumulators[i][n] = V::MulAdd(weight, value, accumulators[i][n]);
        }
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kX; ++i) {
#pragma GCC unroll 8
    for (int n = 0; n < kW; ++n) sums[i][n] = V::Sum(accumulators[i][n]);
  }
}

// Rows of weights wherever they lie; the first is column `column` of the output.
struct WeightRows {
  const uint8_t* data = nullptr;
  int64_t row_bytes = 0;
  int64_t count = 0;
  int64_t column = 0;
};

// kX rows of x, from row x_begin, with all of `weights`.
template <typename V, DType D, int kX>
void RowTile(const MatMulArgs& args, int64_t x_begin, const WeightRows& weights) {
  constexpr int kW = V::kWeightTile;
  const float* x = args.x + x_begin * args.cols;
  for (int64_t first = 0; first < weights.count; first += kW) {
    const int64_t count = weights.count - first < kW ? weights.count - first : kW;
    const uint8_t* w[kW];
    for (int n = 0; n < kW; ++n) {  // a short tile repeats its last row
      w[n] = weights.data + (first + (n < count ? n : count - 1)) * weights.row_bytes;
    }
    float sums[kX][kW];
    DotTile<V, D, kW, kX>(w, x, args.cols, args.cols, sums);
    const int64_t column = weights.column + first;
    for (int i = 0; i < kX; ++i) {
      float* out = args.out + (x_begin + i) * args.out_stride + column;
      for (int n = 0; n < count; ++n) {
        out[n] = args.bias ? sums[i][n] + args.bias[column + n] : sums[i][n];
      }
    }
  }
}

// All rows of x, kMaxX at a time, the rest in one smaller tile.
template <typename V, DType D, int kMaxX>
void AllRows(const MatMulArgs& args, const WeightRows& weights) {
  int64_t row = 0;
  for (; row + kMaxX <= args.num_rows; row += kMaxX) RowTile<V, D, kMaxX>(args, row, weights);
  const auto rest = [&]<int kX>() {
    if constexpr (kX < kMaxX) {
      if (args.num_rows - row == kX) RowTile<V, D, kX>(args, row, weights);
    }
  };
  rest.template operator()<1>();
  rest.template operator()<2>();
  rest.template operator()<3>();
  rest.template operator()<4>();
  rest.template operator()<5>();
  static_assert(kMaxX <= 6);
}

// Rows [begin, end) of the weight. For few rows of x, weights are decoded in registers and used at
// once; for many, a panel of decoded rows that fits L2 serves them all.
template <typename V, DType D>
void MatMulRange(const MatMulArgs& args, int64_t begin, int64_t end) {
  if (D != DType::kF32 && args.num_rows <= V::kFusedRows) {
    const uint8_t* data = args.weights + begin * args.row_bytes;
    return AllRows<V, D, V::kFusedRows>(args, {data, args.row_bytes, end - begin, begin});
  }
  const int64_t stride = (args.cols + 15) / 16 * 16;
  const int64_t panel_rows = args.panel_floats / stride / V::kWeightTile * V::kWeightTile;
  for (int64_t first = begin; first < end; first += panel_rows) {
    WeightRows rows;
    rows.data = args.weights + first * args.row_bytes;
    rows.row_bytes = args.row_bytes;
    rows.count = end - first < panel_rows ? end - first : panel_rows;
    rows.column = first;
    if constexpr (D != DType::kF32) {
      for (int64_t n = 0; n < rows.count; ++n) {
        DecodeRow<V, D>(rows.data + n * args.row_bytes, args.cols, args.panel + n * stride);
      }
      rows.data = reinterpret_cast<const uint8_t*>(args.panel);
      rows.row_bytes = stride * static_cast<int64_t>(sizeof(float));
    }
    AllRows<V, DType::kF32, V::kRowTile>(args, rows);
  }
}

template <typename V>
void MatMul(const MatMulArgs& args, int64_t begin, int64_t end) {
  VisitDType(args.dtype, [&]<DType D>() { MatMulRange<V, D>(args, begin, end); });
}

}  // namespace tandem
