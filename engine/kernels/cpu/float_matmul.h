// Products of activations with packed F32, F16 and BF16 weights, in float32.
//
// An output is one chain of fused multiply-adds over the columns in ascending order, in one lane of
// a register: the weights of 16 rows stand side by side, and an activation is multiplied with all
// of them. Which outputs share registers, whether weights were widened in registers or into a panel
// first, and where a chain is put down and taken up again changes nothing in it.
#pragma once

#include <cstdint>

#include "engine/kernels/cpu/kernel_table.h"
#include "engine/kernels/cpu/with_rows.h"

namespace tandem {

// Columns [begin, end) of packed weights of kW groups.
struct FloatStretch {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t group = 0;              // the first
  const uint8_t* data = nullptr;  // its column `begin`
  int64_t group_bytes = 0;        // from one group to the next
};

// One column of a group.
template <typename V, DType D>
[[gnu::always_inline]] inline typename V::F LoadColumn(const uint8_t* p) {
  if constexpr (D == DType::kF32) {
    return V::Load(reinterpret_cast<const float*>(p));
  } else if constexpr (D == DType::kF16) {
    return V::LoadHalf(reinterpret_cast<const uint16_t*>(p));
  } else {
    static_assert(D == DType::kBF16);
    return V::LoadBFloat16(reinterpret_cast<const uint16_t*>(p));
  }
}

template <DType D>
inline constexpr int64_t kColumnBytes = kGroupRows*(D == DType::kF32 ? 4 : 2);

// Sixteen outputs or biases of a group of which `count` exist.
template <typename V>
[[gnu::always_inline]] inline typename V::F LoadOutputs(const float* p, int64_t count) {
  return count == kGroupRows ? V::Load(p) : V::LoadPartial(p, count);
}
template <typename V>
[[gnu::always_inline]] inline void StoreOutputs(float* p, int64_t count, typename V::F x) {
  if (count == kGroupRows) return V::Store(p, x);
  V::StorePartial(p, count, x);
}

// Rows [row, row + kX) of x with kW groups: takes the sums from the output where the stretch is not
// the first, and adds the bias where it is the last.
template <typename V, DType D, int kX, int kW>
void FloatTile(const FloatMatMulArgs& args, int64_t row, const FloatStretch& stretch) {
  using F = typename V::F;
  const int64_t column = stretch.group * kGroupRows;
  float* const out = args.out + row * args.out_stride + column;
  const int64_t left = args.num_weights - column - (kW - 1) * kGroupRows;
  const int64_t last_count = left < kGroupRows ? left : kGroupRows;  // outputs of the last group
  F sums[kX][kW];
#pragma GCC unroll 16
  for (int i = 0; i < kX; ++i) {
#pragma GCC unroll 8
    for (int n = 0; n < kW; ++n) {
      sums[i][n] = stretch.begin == 0 ? V::Zero()
                                      : LoadOutputs<V>(out + i * args.out_stride + n * kGroupRows,
                                                       n < kW - 1 ? kGroupRows : last_count);
    }
  }
  const float* x = args.x + row * args.cols + stretch.begin;
  const uint8_t* w = stretch.data;
  for (int64_t k = stretch.begin; k < stretch.end; ++k, ++x, w += kColumnBytes<D>) {
    F weights[kW];
#pragma GCC unroll 8
    for (int n = 0; n < kW; ++n) weights[n] = LoadColumn<V, D>(w + n * stretch.group_bytes);
#pragma GCC unroll 16
    for (int i = 0; i < kX; ++i) {
      const F value = V::Set(x[i * args.cols]);
#pragma GCC unroll 8
      for (int n = 0; n < kW; ++n) sums[i][n] = V::MulAdd(weights[n], value, sums[i][n]);
    }
  }
  const bool has_bias = stretch.end == args.cols && args.bias != nullptr;
#pragma GCC unroll 8
  for (int n = 0; n < kW; ++n) {
    const int64_t count = n < kW - 1 ? kGroupRows : last_count;
    const F bias =
        has_bias ? LoadOutputs<V>(args.bias + column + n * kGroupRows, count) : V::Zero();
#pragma GCC unroll 16
    for (int i = 0; i < kX; ++i) {
      const F sum = has_bias ? V::Add(sums[i][n], bias) : sums[i][n];
      StoreOutputs<V>(out + i * args.out_stride + n * kGroupRows, count, sum);
    }
  }
}

// Rows [row, end) of x in tiles of about the same size: a small one would wait for its chains.
template <typename V, DType D, int kW>
void FloatRows(const FloatMatMulArgs& args, int64_t row, int64_t end, const FloatStretch& stretch) {
  int64_t num_tiles = (end - row + V::kFloatRows - 1) / V::kFloatRows;
  for (; num_tiles > 0; --num_tiles) {
    const int64_t size = (end - row) / num_tiles;
    WithRows<V::kFloatRows>(static_cast<int>(size),
                            [&]<int kX>() { FloatTile<V, D, kX, kW>(args, row, stretch); });
    row += size;
  }
}

// Weights [begin, end) widened in registers, kW groups at a time.
template <typename V, DType D, int kW, typename Visit>
void EachGroup(const FloatMatMulArgs& args, int64_t begin, int64_t end, Visit visit) {
  FloatStretch stretch;
  stretch.end = args.cols;
  stretch.group_bytes = args.cols * kColumnBytes<D>;
  stretch.group = begin;
  for (; stretch.group + kW <= end; stretch.group += kW) {
    stretch.data = args.packed + stretch.group * stretch.group_bytes;
    visit.template operator()<kW>(stretch);
  }
  for (; stretch.group < end; ++stretch.group) {
    stretch.data = args.packed + stretch.group * stretch.group_bytes;
    visit.template operator()<1>(stretch);
  }
}

// For one tile of rows, as many groups side by side as there are registers for: one alone would
// wait for its chains.
template <typename V, DType D>
void OneTile(const FloatMatMulArgs& args, int64_t begin, int64_t end) {
  WithRows<V::kFloatRows>(static_cast<int>(args.num_rows), [&]<int kX>() {
    constexpr int kW = V::kFloatChains / kX < 8 ? V::kFloatChains / kX : 8;
    EachGroup<V, D, kW>(args, begin, end, [&]<int kGroups>(const FloatStretch& stretch) {
      FloatTile<V, D, kX, kGroups>(args, 0, stretch);
    });
  });
}

// For two tiles, which widen the same weights, still in L1, each for itself.
template <typename V, DType D>
void TwoTiles(const FloatMatMulArgs& args, int64_t begin, int64_t end) {
  constexpr int kW = V::kFloatChains / V::kFloatRows;
  EachGroup<V, D, kW>(args, begin, end, [&]<int kGroups>(const FloatStretch& stretch) {
    FloatRows<V, D, kGroups>(args, 0, args.num_rows, stretch);
  });
}

// Weights of kW groups as floats, in the thread's panel unless they are floats.
template <typename V, DType D, int kW>
FloatStretch WidenStretch(const FloatMatMulArgs& args, FloatStretch stretch) {
  const int64_t group_bytes = args.cols * kColumnBytes<D>;
  stretch.data = args.packed + stretch.group * group_bytes + stretch.begin * kColumnBytes<D>;
  stretch.group_bytes = group_bytes;
  if constexpr (D != DType::kF32) {
    const int64_t size = stretch.end - stretch.begin;
    for (int n = 0; n < kW; ++n) {
      const uint8_t* from = stretch.data + n * group_bytes;
      float* to = args.panel + n * kFloatStretch * kGroupRows;
      for (int64_t k = 0; k < size; ++k) {
        V::Store(to + k * kGroupRows, LoadColumn<V, D>(from + k * kColumnBytes<D>));
      }
    }
    stretch.data = reinterpret_cast<const uint8_t*>(args.panel);
    stretch.group_bytes = kFloatStretch * kColumnBytes<DType::kF32>;
  }
  return stretch;
}

// For many rows of x: a stretch of columns of all rows stays in L2 while groups pass, a panel of
// weights in L1 while rows pass.
template <typename V, DType D>
void ManyRows(const FloatMatMulArgs& args, int64_t begin, int64_t end) {
  constexpr int kW = V::kFloatChains / V::kFloatRows;
  const int64_t num_stretches = (args.cols + kFloatStretch - 1) / kFloatStretch;
  const int64_t size = (args.cols + num_stretches - 1) / num_stretches;
  for (int64_t row = 0; row < args.num_rows; row += kFloatRowBlock) {
    const int64_t left = args.num_rows - row;
    const int64_t row_end = row + (left < kFloatRowBlock ? left : kFloatRowBlock);
    FloatStretch stretch;
    for (int64_t k = 0; k < args.cols; k += size) {
      stretch.begin = k;
      stretch.end = args.cols - k < size ? args.cols : k + size;
      stretch.group = begin;
      for (; stretch.group + kW <= end; stretch.group += kW) {
        FloatRows<V, DType::kF32, kW>(args, row, row_end, WidenStretch<V, D, kW>(args, stretch));
      }
      for (; stretch.group < end; ++stretch.group) {
        FloatRows<V, DType::kF32, 1>(args, row, row_end, WidenStretch<V, D, 1>(args, stretch));
      }
    }
  }
}

template <typename V, DType D>
void FloatMatMulOf(const FloatMatMulArgs& args, int64_t begin, int64_t end) {
  if (args.num_rows <= V::kFloatRows) return OneTile<V, D>(args, begin, end);
  if (args.num_rows <= 2 * V::kFloatRows) return TwoTiles<V, D>(args, begin, end);
  ManyRows<V, D>(args, begin, end);
}

// Groups [begin, end) of the weight.
template <typename V>
void FloatMatMul(const FloatMatMulArgs& args, int64_t begin, int64_t end) {
  switch (args.dtype) {
    case DType::kF16:
      return FloatMatMulOf<V, DType::kF16>(args, begin, end);
    case DType::kBF16:
      return FloatMatMulOf<V, DType::kBF16>(args, begin, end);
    default:
      return FloatMatMulOf<V, DType::kF32>(args, begin, end);
  }
}

}  // namespace tandem
