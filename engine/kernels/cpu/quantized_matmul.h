// Products of activations with packed, quantised weights in integer arithmetic.
//
// Activations are quantised to 8 bits (or 15, in two planes of 8) with one scale per 32 columns.
// The 32 products of a block are summed as integers, which is exact in any order; then
//   total = fma(float(sum), scale_w * scale_x, total)   and, where the format has minimums,
//   total = fma(min_w, scale_x * sum_x, total)
// for one block after the other. An output is one such chain over k whatever the instruction set,
// the number of rows or the cut into panels: the same bits everywhere.
#pragma once

#include <cstdint>

#include "engine/kernels/cpu/kernel_table.h"
#include "engine/kernels/cpu/packed_weights.h"

namespace tandem {

// x: [cols] -> quants [planes][cols] and scales [cols / 32]. Rounds to nearest even. Where a block
// has what is not finite its scale is NaN, and so is all that is computed from it.
template <typename V, int kPlanes>
void QuantizeRowTo(const float* x, int64_t cols, int8_t* quants, BlockScale* scales) {
  constexpr float kLargest = kPlanes == 1 ? 127.0f : 127.0f * 128.0f;
  for (int64_t b = 0; b < cols / kQuantBlock; ++b) {
    const typename V::F low = V::Load(x + b * kQuantBlock);
    const typename V::F high = V::Load(x + b * kQuantBlock + 16);
    const float max = V::MaxLane(V::Max(V::Abs(low), V::Abs(high)));
    const float inverse = max > 0 ? kLargest / max : 0.0f;
    // x - x is NaN for what is not finite, and 0 otherwise.
    const float check = V::Sum(V::Add(V::Sub(low, low), V::Sub(high, high)));
    scales[b].scale = max / kLargest + check;
    int sum = 0;
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      typename V::I q = V::RoundToInt(V::Mul(half == 0 ? low : high, V::Set(inverse)));
      scales[b].sums[half] = V::SumInt(q);
      sum += scales[b].sums[half];
      int8_t* out = quants + b * kQuantBlock + half * 16;
      if constexpr (kPlanes == 2) {  // q = 128 * upper + lower, lower in [-64, 63]
        const typename V::I upper = V::ShiftRightSigned(V::AddInt(q, V::SetInt(64)), 7);
        V::StoreInt8(out, upper);
        q = V::SubInt(q, V::ShiftLeft(upper, 7));
        out += cols;
      }
      V::StoreInt8(out, q);
    }
    scales[b].scaled_sum = scales[b].scale * static_cast<float>(sum);
  }
}

template <typename V>
void QuantizeRow(const float* x, int64_t cols, int planes, int8_t* quants, BlockScale* scales) {
  if (planes == 1) {
    QuantizeRowTo<V, 1>(x, cols, quants, scales);
  } else {
    QuantizeRowTo<V, 2>(x, cols, quants, scales);
  }
}

// Takes packed blocks apart; `unit` multiplies scales and minimums.
template <typename V, PackedFormat kFormat>
void Expand(const uint8_t* packed, int num_blocks, float unit, QuantPanel& panel) {
  const typename V::F units = V::Set(unit);
  for (int b = 0; b < num_blocks; ++b, packed += kFormat.BlockBytes()) {
    uint8_t* out = panel.quants[b][0];
    if constexpr (kFormat.bits == 8) {
      __builtin_memcpy(out, packed, kGroupBytes);
    } else {
      for (int t = 0; t < 256; ++t) {
        out[t] = packed[t] & 15;
        out[256 + t] = packed[t] >> 4;
      }
      constexpr int kHighBits = kFormat.bits - 4;
      if constexpr (kHighBits > 0) {
        constexpr int kRegisters = 8 / kHighBits;  // that one plane of 64 bytes serves
#pragma GCC unroll 8
        for (int j = 0; j < 8; ++j) {
          const uint8_t* plane = packed + 256 + j / kRegisters * 64;
          const int shift = j % kRegisters * kHighBits;
          for (int t = 0; t < 64; ++t) {
            out[j * 64 + t] |= (plane[t] >> shift & ((1 << kHighBits) - 1)) << 4;
          }
        }
      }
    }
    const uint16_t* halves = reinterpret_cast<const uint16_t*>(packed + kFormat.QuantBytes());
    V::Store(panel.scales[b][0], V::Mul(V::LoadHalf(halves), units));
    if constexpr (kFormat.sub_block == 16) {
      V::Store(panel.scales[b][1], V::Mul(V::LoadHalf(halves + 16), units));
    }
    if constexpr (kFormat.has_min) {
      V::Store(panel.mins[b], V::Mul(V::LoadHalf(halves + 16), units));
    }
  }
}

// Blocks [block, block + num_blocks) of kX rows of x, from row `row`, with an expanded panel: added
// to `out`, [kX][out_stride], of which 16 columns are the group's. The first block begins at 0.
template <typename V, PackedFormat kFormat, int kPlanes, int kX>
void QuantizedTile(const QuantizedMatMulArgs& args, int64_t row, int64_t block, int num_blocks,
                   float* out) {
  using F = typename V::F;
  using I = typename V::I;
  constexpr int kRegisters = kFormat.sub_block / 4;  // of quants that share a scale
  F totals[kX];
#pragma GCC unroll 8
  for (int i = 0; i < kX; ++i) {
    totals[i] = block == 0 ? V::Zero() : V::Load(out + i * args.out_stride);
  }
  const QuantPanel& panel = *args.panel;
  const int64_t num_all = args.cols / kQuantBlock;
  const int64_t row_bytes = args.cols * kPlanes;
  const int8_t* x = args.quants + row * row_bytes + block * kQuantBlock;
  const BlockScale* x_scales = args.scales + row * num_all + block;
  for (int b = 0; b < num_blocks; ++b, x += kQuantBlock, ++x_scales) {
#pragma GCC unroll 2
    for (int half = 0; half < kQuantBlock / kFormat.sub_block; ++half) {
      I sums[kX], lower[kX];
#pragma GCC unroll 8
      for (int i = 0; i < kX; ++i) {
        const BlockScale& scale = x_scales[i * num_all];
        const int sum = kFormat.sub_block == 32 ? scale.sums[0] + scale.sums[1] : scale.sums[half];
        const I start = kFormat.has_min ? V::SetInt(0) : V::SetInt(-kFormat.zero * sum);
        if constexpr (kPlanes == 2) {
          sums[i] = V::SetInt(0);
          lower[i] = start;
        } else {
          sums[i] = start;
        }
      }
#pragma GCC unroll 8
      for (int j = half * kRegisters; j < (half + 1) * kRegisters; ++j) {
        const typename V::Quants w = V::LoadQuants(panel.quants[b][j]);
#pragma GCC unroll 8
        for (int i = 0; i < kX; ++i) {
          const int8_t* four = x + i * row_bytes + j * 4;
          sums[i] = V::template DotQuants<kFormat.bits>(sums[i], w, four);
          if constexpr (kPlanes == 2) {
            lower[i] = V::template DotQuants<kFormat.bits>(lower[i], w, four + args.cols);
          }
        }
      }
      const F w_scales = V::Load(panel.scales[b][half]);
#pragma GCC unroll 8
      for (int i = 0; i < kX; ++i) {
        if constexpr (kPlanes == 2) sums[i] = V::AddInt(V::ShiftLeft(sums[i], 7), lower[i]);
        const F scale = V::Mul(w_scales, V::Set(x_scales[i * num_all].scale));
        totals[i] = V::FusedMulAdd(V::ToFloat(sums[i]), scale, totals[i]);
      }
    }
    if constexpr (kFormat.has_min) {
      const F mins = V::Load(panel.mins[b]);
#pragma GCC unroll 8
      for (int i = 0; i < kX; ++i) {
        totals[i] = V::FusedMulAdd(mins, V::Set(x_scales[i * num_all].scaled_sum), totals[i]);
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kX; ++i) V::Store(out + i * args.out_stride, totals[i]);
}

// All rows of x with one group of weights.
template <typename V, PackedFormat kFormat, int kPlanes>
void QuantizedGroup(const QuantizedMatMulArgs& args, int64_t group, float* out) {
  constexpr int kX = V::kQuantRows;
  const int64_t num_all = args.cols / kQuantBlock;
  const uint8_t* packed = args.packed + group * num_all * kFormat.BlockBytes();
  for (int64_t block = 0; block < num_all; block += kPanelBlocks) {
    const int num_blocks =
        num_all - block < kPanelBlocks ? static_cast<int>(num_all - block) : kPanelBlocks;
    Expand<V, kFormat>(packed + block * kFormat.BlockBytes(), num_blocks, args.unit, *args.panel);
    const auto tile = [&]<int kRows>(int64_t row) {
      QuantizedTile<V, kFormat, kPlanes, kRows>(args, row, block, num_blocks,
                                                out + row * args.out_stride);
    };
    int64_t row = 0;
    for (; row + kX <= args.num_rows; row += kX) tile.template operator()<kX>(row);
    const auto rest = [&]<int kRows>() {
      if constexpr (kRows < kX) {
        if (args.num_rows - row == kRows) tile.template operator()<kRows>(row);
      }
    };
    rest.template operator()<1>();
    rest.template operator()<2>();
    rest.template operator()<3>();
    rest.template operator()<4>();
    rest.template operator()<5>();
    rest.template operator()<6>();
    rest.template operator()<7>();
    static_assert(kX <= 8);
  }
}

// Calls run.template operator()<kFormat, kPlanes>(args, group, out) for groups [begin, end), which
// writes 16 columns of all rows to `out`, and adds the bias.
template <typename Run>
[[gnu::always_inline]] inline void ForEachGroup(const QuantizedMatMulArgs& args, int64_t begin,
                                                int64_t end, Run run) {
  VisitPackedFormat(args.dtype, [&]<PackedFormat kFormat>() {
    for (int64_t group = begin; group < end; ++group) {
      const int64_t column = group * kGroupRows;
      const bool is_whole = column + kGroupRows <= args.num_weights;
      QuantizedMatMulArgs group_args = args;
      if (!is_whole) group_args.out_stride = kGroupRows;
      float* out = is_whole ? args.out + column : args.edge;
      if (args.planes == 1) {
        run.template operator()<kFormat, 1>(group_args, group, out);
      } else {
        run.template operator()<kFormat, 2>(group_args, group, out);
      }
      const int64_t num_columns = is_whole ? kGroupRows : args.num_weights - column;
      if (is_whole && args.bias == nullptr) continue;
      for (int64_t row = 0; row < args.num_rows; ++row) {
        for (int64_t n = 0; n < num_columns; ++n) {
          const float value = out[row * group_args.out_stride + n];
          args.out[row * args.out_stride + column + n] =
              args.bias ? value + args.bias[column + n] : value;
        }
      }
    }
  });
}

// Groups [begin, end) of the weight.
template <typename V>
void QuantizedMatMul(const QuantizedMatMulArgs& args, int64_t begin, int64_t end) {
  ForEachGroup(args, begin, end,
               []<PackedFormat kFormat, int kPlanes>(const QuantizedMatMulArgs& group_args,
                                                     int64_t group, float* out) {
                 QuantizedGroup<V, kFormat, kPlanes>(group_args, group, out);
               });
}

}  // namespace tandem
