// Products of activations with packed, quantised weights in integer arithmetic.
//
// Activations are quantised to 8 bits or to 15, with one scale per 32 columns. 15 bits are
// multiplied in two planes of 8, or where V::kWideProducts as numbers of 16.
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

// Whether activations of kPlanes are multiplied as numbers of 16 bits.
template <typename V, int kPlanes>
inline constexpr bool kIsWide = kPlanes == 2 && V::kWideProducts;

// x: [cols] -> quants [planes][cols], where kIsWide int16_t [cols] in the order of V::StoreWide,
// and scales [cols / 32]. Rounds to nearest even. Where a block has what is not finite its scale is
// NaN, and so is all that is computed from it.
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
      const int64_t column = b * kQuantBlock + half * 16;
      int8_t* out = quants + column;
      if constexpr (kIsWide<V, kPlanes>) {
        V::StoreWide(quants + column * 2, q);
        continue;
      } else if constexpr (kPlanes == 2) {  // q = 128 * upper + lower, lower in [-64, 63]
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

// How far ahead few rows ask for weights: memory answers after about 100 ns, in which a core that
// reads 20 GB/s takes 2 KiB.
inline constexpr int kPrefetchBytes = 2048;

// Parts that the quants of a format are multiplied in: where products of 8 bits with 8 bits would
// overflow V's sums, upper and lower halves go apart; numbers of 16 bits take two registers.
template <typename V, PackedFormat kFormat, int kPlanes>
inline constexpr int kQuantParts = kIsWide<V, kPlanes> || (kFormat.bits == 8 && V::kSplitsBytes)
                                       ? 2
                                       : 1;

// Register j < 8 of the quants of one packed block: columns 4 j .. 4 j + 3 of 16 rows, a byte each.
template <typename V, PackedFormat kFormat>
[[gnu::always_inline]] inline typename V::Quants UnpackBytes(const uint8_t* packed, int j) {
  if constexpr (kFormat.bits == 8) {
    return V::LoadQuants(packed + j * 64);
  } else {
    const auto low = V::QuantBits(V::LoadQuants(packed + j % 4 * 64), j / 4 * 4, 4);
    constexpr int kHighBits = kFormat.bits - 4;
    if constexpr (kHighBits == 0) {
      return low;
    } else {
      constexpr int kRegisters = 8 / kHighBits;  // that one plane of 64 bytes serves
      const auto plane = V::LoadQuants(packed + 256 + j / kRegisters * 64);
      return V::AddHighBits(low, V::QuantBits(plane, j % kRegisters * kHighBits, kHighBits));
    }
  }
}

// The same, part by part.
template <typename V, PackedFormat kFormat, int kPlanes>
[[gnu::always_inline]] inline typename V::Quants UnpackQuants(const uint8_t* packed, int part,
                                                              int j) {
  const typename V::Quants bytes = UnpackBytes<V, kFormat>(packed, j);
  if constexpr (kIsWide<V, kPlanes>) {
    return V::WidenColumns(bytes, part);
  } else if constexpr (kQuantParts<V, kFormat, kPlanes> == 2) {
    return V::QuantBits(bytes, part == 0 ? 4 : 0, 4);
  } else {
    return bytes;
  }
}

// Scales and minimums of one packed block, 16 rows side by side.
template <typename V, PackedFormat kFormat>
struct PackedScales {
  [[gnu::always_inline]] static typename V::F Scales(const uint8_t* packed, int half,
                                                     typename V::F unit) {
    return V::Mul(V::LoadHalf(Halves(packed) + half * kGroupRows), unit);
  }
  [[gnu::always_inline]] static typename V::F Mins(const uint8_t* packed, typename V::F unit) {
    return V::Mul(V::LoadHalf(Halves(packed) + kQuantBlock / kFormat.sub_block * kGroupRows), unit);
  }

 private:
  [[gnu::always_inline]] static const uint16_t* Halves(const uint8_t* packed) {
    return reinterpret_cast<const uint16_t*>(packed + kFormat.QuantBytes());
  }
};

// Takes packed blocks apart; `unit` multiplies scales and minimums.
template <typename V, PackedFormat kFormat, int kPlanes>
void Expand(const uint8_t* packed, int num_blocks, float unit, QuantPanel& panel) {
  using Scales = PackedScales<V, kFormat>;
  const typename V::F units = V::Set(unit);
  for (int b = 0; b < num_blocks; ++b, packed += kFormat.BlockBytes()) {
#pragma GCC unroll 8
    for (int i = 0; i < 8 * kQuantParts<V, kFormat, kPlanes>; ++i) {
      V::StoreQuants(panel.quants[i / 8][b][i % 8],
                     UnpackQuants<V, kFormat, kPlanes>(packed, i / 8, i % 8));
    }
    V::Store(panel.scales[b][0], Scales::Scales(packed, 0, units));
    if constexpr (kFormat.sub_block == 16) {
      V::Store(panel.scales[b][1], Scales::Scales(packed, 1, units));
    }
    if constexpr (kFormat.has_min) V::Store(panel.mins[b], Scales::Mins(packed, units));
  }
}

// Blocks [first, first + count) of one group, numbered from 0, as the products read them: from a
// panel that serves many rows...
template <typename V, PackedFormat kFormat>
struct PanelBlocks {
  int64_t first;
  int count;
  const QuantPanel& panel;

  [[gnu::always_inline]] void Prefetch(int, int64_t) const {}
  [[gnu::always_inline]] typename V::Quants Quants(int b, int part, int j) const {
    return V::LoadQuants(panel.quants[part][b][j]);
  }
  [[gnu::always_inline]] typename V::F Scales(int b, int half) const {
    return V::Load(panel.scales[b][half]);
  }
  [[gnu::always_inline]] typename V::F Mins(int b) const { return V::Load(panel.mins[b]); }
};

// ... or as they are packed, which spares few rows the way through memory.
template <typename V, PackedFormat kFormat, int kPlanes>
struct PackedBlocks {
  int64_t first;
  int count;
  const uint8_t* packed;
  typename V::F unit;

  [[gnu::always_inline]] const uint8_t* Block(int b) const {
    return packed + b * kFormat.BlockBytes();
  }
  // Few rows wait for memory: the first tile asks for what is read kPrefetchBytes later, of the
  // next group too.
  [[gnu::always_inline]] void Prefetch(int b, int64_t row) const {
    if (row != 0) return;
    for (int line = 0; line < kFormat.BlockBytes(); line += 64) {
      __builtin_prefetch(Block(b) + kPrefetchBytes + line);
    }
  }
  [[gnu::always_inline]] typename V::Quants Quants(int b, int part, int j) const {
    return UnpackQuants<V, kFormat, kPlanes>(Block(b), part, j);
  }
  [[gnu::always_inline]] typename V::F Scales(int b, int half) const {
    return PackedScales<V, kFormat>::Scales(Block(b), half, unit);
  }
  [[gnu::always_inline]] typename V::F Mins(int b) const {
    return PackedScales<V, kFormat>::Mins(Block(b), unit);
  }
};

// One block of rows, or planes, of activations: 32 columns each.
struct QuantizedRowsOfBlock {
  const int8_t* data;
  int64_t stride;  // bytes
};

// Adds integer products of kRegisters registers of block b, from `first` on, with kX rows of
// activations of 16 bits to sums[i].
template <typename V, int kRegisters, int kX, typename Blocks>
[[gnu::always_inline]] inline void AddWideProducts(const Blocks& blocks, int b, int first,
                                                   const QuantizedRowsOfBlock& x,
                                                   typename V::I (&sums)[kX]) {
#pragma GCC unroll 8
  for (int j = first; j < first + kRegisters; ++j) {
#pragma GCC unroll 2
    for (int part = 0; part < 2; ++part) {
      const typename V::Quants w = blocks.Quants(b, part, j);
#pragma GCC unroll 8
      for (int i = 0; i < kX; ++i) {
        sums[i] = V::DotWide(sums[i], w, x.data + i * x.stride + j * 8 + part * 4);
      }
    }
  }
}

// The same with activations of 8 bits. Runs of QuantRun products fit the type they are summed in.
template <typename V, PackedFormat kFormat, int kRegisters, int kX, typename Blocks>
[[gnu::always_inline]] inline void AddProducts(const Blocks& blocks, int b, int first,
                                               const QuantizedRowsOfBlock& x,
                                               typename V::I (&sums)[kX]) {
  constexpr int kParts = kQuantParts<V, kFormat, 1>;
  constexpr int kBits = kFormat.bits / kParts;
  constexpr int kRun = V::QuantRun(kBits) < kRegisters ? V::QuantRun(kBits) : kRegisters;
#pragma GCC unroll 8
  for (int run = 0; run < kRegisters; run += kRun) {
    typename V::QuantSums run_sums[kX][kParts];
#pragma GCC unroll 8
    for (int j = run; j < run + kRun; ++j) {
#pragma GCC unroll 2
      for (int part = 0; part < kParts; ++part) {
        const typename V::Quants w = blocks.Quants(b, part, first + j);
#pragma GCC unroll 8
        for (int i = 0; i < kX; ++i) {
          const auto before = j == run ? V::NoSums() : run_sums[i][part];
          run_sums[i][part] = V::DotQuants(before, w, x.data + i * x.stride + (first + j) * 4);
        }
      }
    }
#pragma GCC unroll 8
    for (int i = 0; i < kX; ++i) {
      if constexpr (kParts == 1) {
        sums[i] = V::AddSums(sums[i], run_sums[i][0]);
      } else {
        const auto upper = V::AddSums(V::SetInt(0), run_sums[i][0]);
        sums[i] = V::AddSums(V::AddInt(sums[i], V::ShiftLeft(upper, kBits)), run_sums[i][1]);
      }
    }
  }
}

// Products of `blocks` with kX rows of x, from row `row`: added to `out`, [kX][out_stride], of
// which 16 columns are the group's. The first block of all begins at 0.
template <typename V, PackedFormat kFormat, int kPlanes, int kX, typename Blocks>
void QuantizedTile(const QuantizedMatMulArgs& args, int64_t row, const Blocks& blocks, float* out) {
  using F = typename V::F;
  using I = typename V::I;
  constexpr bool kWide = kIsWide<V, kPlanes>;
  constexpr int kXBytes = kWide ? 2 : 1;                       // of an activation
  constexpr int kSumsPerRow = kPlanes == 2 && !kWide ? 2 : 1;  // of the upper plane, of the lower
  constexpr int kRegisters = kFormat.sub_block / 4;            // of quants that share a scale
  F totals[kX];
#pragma GCC unroll 8
  for (int i = 0; i < kX; ++i) {
    totals[i] = blocks.first == 0 ? V::Zero() : V::Load(out + i * args.out_stride);
  }
  const int64_t num_all = args.cols / kQuantBlock;
  const int8_t* x = args.quants + row * args.cols * kPlanes + blocks.first * kQuantBlock * kXBytes;
  const BlockScale* x_scales = args.scales + row * num_all + blocks.first;
  for (int b = 0; b < blocks.count; ++b, x += kQuantBlock * kXBytes, ++x_scales) {
    blocks.Prefetch(b, row);
#pragma GCC unroll 2
    for (int half = 0; half < kQuantBlock / kFormat.sub_block; ++half) {
      I sums[kX * kSumsPerRow];
#pragma GCC unroll 8
      for (int i = 0; i < kX; ++i) {
        const BlockScale& scale = x_scales[i * num_all];
        const int sum = kFormat.sub_block == 32 ? scale.sums[0] + scale.sums[1] : scale.sums[half];
        sums[i * kSumsPerRow] = V::SetInt(0);
        sums[(i + 1) * kSumsPerRow - 1] = V::SetInt(kFormat.has_min ? 0 : -kFormat.zero * sum);
      }
      const QuantizedRowsOfBlock x_rows{x, args.cols * kXBytes};
      if constexpr (kWide) {
        AddWideProducts<V, kRegisters>(blocks, b, half * kRegisters, x_rows, sums);
      } else {
        AddProducts<V, kFormat, kRegisters>(blocks, b, half * kRegisters, x_rows, sums);
      }
      const F w_scales = blocks.Scales(b, half);
#pragma GCC unroll 8
      for (int i = 0; i < kX; ++i) {
        I sum = sums[i * kSumsPerRow];
        if constexpr (kSumsPerRow == 2) sum = V::AddInt(V::ShiftLeft(sum, 7), sums[i * 2 + 1]);
        const F scale = V::Mul(w_scales, V::Set(x_scales[i * num_all].scale));
        totals[i] = V::FusedMulAdd(V::ToFloat(sum), scale, totals[i]);
      }
    }
    if constexpr (kFormat.has_min) {
      const F mins = blocks.Mins(b);
#pragma GCC unroll 8
      for (int i = 0; i < kX; ++i) {
        totals[i] = V::FusedMulAdd(mins, V::Set(x_scales[i * num_all].scaled_sum), totals[i]);
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kX; ++i) V::Store(out + i * args.out_stride, totals[i]);
}

// Rows of x that one tile takes: as many as keep their sums in registers.
template <typename V, PackedFormat kFormat, int kPlanes>
inline constexpr int kMostRows =
    kIsWide<V, kPlanes> ? V::kQuantChains
                        : V::kQuantChains / kPlanes / kQuantParts<V, kFormat, kPlanes>;

// All rows of x, kMaxX at a time, the rest in one smaller tile; see QuantizedTile.
template <typename V, PackedFormat kFormat, int kPlanes, typename Blocks>
void QuantizedRows(const QuantizedMatMulArgs& args, const Blocks& blocks, float* out) {
  constexpr int kMaxX = kMostRows<V, kFormat, kPlanes>;
  const auto tile = [&]<int kX>(int64_t row) {
    QuantizedTile<V, kFormat, kPlanes, kX>(args, row, blocks, out + row * args.out_stride);
  };
  int64_t row = 0;
  for (; row + kMaxX <= args.num_rows; row += kMaxX) tile.template operator()<kMaxX>(row);
  const auto rest = [&]<int kX>() {
    if constexpr (kX < kMaxX) {
      if (args.num_rows - row == kX) tile.template operator()<kX>(row);
    }
  };
  rest.template operator()<1>();
  rest.template operator()<2>();
  rest.template operator()<3>();
  rest.template operator()<4>();
  rest.template operator()<5>();
  rest.template operator()<6>();
  rest.template operator()<7>();
  static_assert(kMaxX <= 8);
}

// As long as rows make no more tiles, taking packed blocks apart for each of them costs less than a
// panel that they share: Zen 3 (AVX2), Q4_1: 1.5 times at 5 rows, 1.35 at 8, 1.0 at 32 and above.
inline constexpr int kPackedTiles = 8;

// All rows of x with one group of weights.
template <typename V, PackedFormat kFormat, int kPlanes>
void QuantizedGroup(const QuantizedMatMulArgs& args, int64_t group, float* out) {
  const int64_t num_all = args.cols / kQuantBlock;
  const uint8_t* packed = args.packed + group * num_all * kFormat.BlockBytes();
  if (args.num_rows <= kPackedTiles * kMostRows<V, kFormat, kPlanes>) {
    const PackedBlocks<V, kFormat, kPlanes> blocks{0, static_cast<int>(num_all), packed,
                                                   V::Set(args.unit)};
    return QuantizedRows<V, kFormat, kPlanes>(args, blocks, out);
  }
  for (int64_t block = 0; block < num_all; block += kPanelBlocks) {
    const int num_blocks =
        num_all - block < kPanelBlocks ? static_cast<int>(num_all - block) : kPanelBlocks;
    Expand<V, kFormat, kPlanes>(packed + block * kFormat.BlockBytes(), num_blocks, args.unit,
                                *args.panel);
    const PanelBlocks<V, kFormat> blocks{block, num_blocks, *args.panel};
    QuantizedRows<V, kFormat, kPlanes>(args, blocks, out);
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
