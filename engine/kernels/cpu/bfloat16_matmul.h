// Products of activations rounded to BF16 with packed BF16 weights.
//
// An output is one chain over pairs of columns in ascending order, in one lane of a register. Which
// outputs share registers changes nothing in it. Tiles (tile_bfloat16_matmul.h) add up in another
// order, so an instruction set uses one of the two for every number of rows.
#pragma once

#include <cstdint>

#include "engine/kernels/cpu/kernel_table.h"

namespace tandem {

// Writes 16 columns of group `group` to `row` of the output, those that there are, plus bias.
template <typename V>
[[gnu::always_inline]] inline void StoreGroup(const BFloat16MatMulArgs& args, int64_t row,
                                              int64_t group, typename V::F sums) {
  const int64_t column = group * kGroupRows;
  const int64_t left = args.num_weights - column;
  const int64_t count = left < kGroupRows ? left : kGroupRows;
  if (args.bias != nullptr) sums = V::Add(sums, V::LoadPartial(args.bias + column, count));
  V::StorePartial(args.out + row * args.out_stride + column, count, sums);
}

// kX rows of x from row `row` with kW groups of weights from group `group`.
template <typename V, int kX, int kW>
void PairTile(const BFloat16MatMulArgs& args, int64_t row, int64_t group) {
  typename V::F sums[kX][kW];
#pragma GCC unroll 8
  for (int i = 0; i < kX; ++i) {
#pragma GCC unroll 8
    for (int n = 0; n < kW; ++n) sums[i][n] = V::Zero();
  }
  const uint16_t* x = args.x + row * args.cols;
  const uint16_t* w = args.packed + group * args.cols * kGroupRows;
  for (int64_t k = 0; k < args.cols; k += 2) {
    typename V::Pairs weights[kW];
#pragma GCC unroll 8
    for (int n = 0; n < kW; ++n) weights[n] = V::LoadPairs(w + (n * args.cols + k) * kGroupRows);
#pragma GCC unroll 8
    for (int i = 0; i < kX; ++i) {
#pragma GCC unroll 8
      for (int n = 0; n < kW; ++n) {
        sums[i][n] = V::DotPairs(sums[i][n], weights[n], x + i * args.cols + k);
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kX; ++i) {
#pragma GCC unroll 8
    for (int n = 0; n < kW; ++n) StoreGroup<V>(args, row + i, group + n, sums[i][n]);
  }
}

// All rows of x with kW groups, V::kRowTile rows at a time, the rest in pairs.
template <typename V, int kW>
void PairGroups(const BFloat16MatMulArgs& args, int64_t group) {
  int64_t row = 0;
  for (; row + V::kRowTile <= args.num_rows; row += V::kRowTile) {
    PairTile<V, V::kRowTile, kW>(args, row, group);
  }
  for (; row + 2 <= args.num_rows; row += 2) PairTile<V, 2, kW>(args, row, group);
  for (; row < args.num_rows; ++row) PairTile<V, 1, kW>(args, row, group);
}

// Groups [begin, end) of the weight.
template <typename V>
void BFloat16MatMul(const BFloat16MatMulArgs& args, int64_t begin, int64_t end) {
  constexpr int kW = V::kWeightTile;
  int64_t group = begin;
  for (; group + kW <= end; group += kW) PairGroups<V, kW>(args, group);
  for (; group < end; ++group) PairGroups<V, 1>(args, group);
}

}  // namespace tandem
