// quantized_matmul.h with tiles of 16 rows of activations: the same sums of integers and the same
// chain of fused multiply-adds, so the same bits.
//
// A block of 32 columns has its own scales, so that every tile of sums leaves its register at once:
// it is stored to L1 and added to the totals as 16 registers of floats. That, not the products, is
// most of the work, and the products of the next blocks run beside it.
#pragma once

#include <cstdint>
#include <utility>

#include "engine/kernels/cpu/amx_tiles.h"
#include "engine/kernels/cpu/quantized_matmul.h"

namespace tandem {

// With fewer rows, which leave most of a tile empty, vector instructions are about as fast.
inline constexpr int64_t kMinTileRows = 8;

// Tiles 0..3 hold sums, 4 and 5 activations, 6 and 7 weights.
[[gnu::always_inline]] inline TileShapes QuantizedTileShapes(int64_t num_rows, int sub_block) {
  const int rows = num_rows < kTileRows ? static_cast<int>(num_rows) : kTileRows;
  TileShapes shapes = {};
  for (int tile = 0; tile < 4; ++tile) shapes.Set(tile, rows, kTileBytes);
  for (int tile = 4; tile < 6; ++tile) shapes.Set(tile, rows, sub_block);
  for (int tile = 6; tile < 8; ++tile) shapes.Set(tile, sub_block / 4, kTileBytes);
  return shapes;
}

// Multiplies groups of weights with all rows of activations.
template <typename V, typename Tiles, PackedFormat kFormat, int kPlanes>
class TileGroup {
 public:
  // `tiles` have QuantizedTileShapes.
  TileGroup(const QuantizedMatMulArgs& args, float* out, Tiles& tiles)
      : args_(args), out_(out), tiles_(tiles) {}

  void Run(int64_t group) {
    const uint8_t* packed = args_.packed + group * num_all_ * kFormat.BlockBytes();
    for (panel_begin_ = 0; panel_begin_ < num_all_; panel_begin_ += kPanelBlocks) {
      const int64_t left = num_all_ - panel_begin_;
      num_blocks_ = left < kPanelBlocks ? static_cast<int>(left) : kPanelBlocks;
      Expand<V, kFormat, kPlanes>(packed + panel_begin_ * kFormat.BlockBytes(), num_blocks_,
                                  args_.unit, *args_.panel);
      MakeSigned();
      for (int64_t row = 0; row < args_.num_rows; row += kTileRows) RowTile(row);
    }
  }

 private:
  static_assert(kQuantParts<V, kFormat, kPlanes> == 1);
  static constexpr int kHalves = kQuantBlock / kFormat.sub_block;
  // Blocks whose sums are computed at a time: at most 8 KiB of them.
  static constexpr int kFlight = kHalves * kPlanes == 4 ? 2 : 4;

  struct Sums {
    alignas(64) int32_t tiles[kFlight * kHalves][kPlanes][kTileRows][kGroupRows];
  };

  // Quants less their zero fit signed bytes in every format.
  void MakeSigned() {
    if constexpr (!kFormat.has_min) {
      uint8_t* quants = args_.panel->quants[0][0][0];
      for (int i = 0; i < num_blocks_ * kGroupBytes; ++i) {
        quants[i] = static_cast<uint8_t>(quants[i] - kFormat.zero);
      }
    }
  }

  // Up to 16 rows from `begin` with the panel. The last tile ends with the last row and so repeats
  // rows of the one before it; only those from `begin` on are added up.
  void RowTile(int64_t begin) {
    const int64_t last = args_.num_rows - kTileRows;
    tile_row_ = last < 0 ? 0 : begin < last ? begin : last;
    const int64_t end = last < 0 ? args_.num_rows : tile_row_ + kTileRows;
    int current = 0;
    ComputeSums(0, sums_[0]);
    for (int block = 0; block < num_blocks_; block += kFlight, current ^= 1) {
      if (block + kFlight < num_blocks_) ComputeSums(block + kFlight, sums_[current ^ 1]);
      int64_t row = begin;
      for (; row + 4 <= end; row += 4) AddSums<4>(row, block, sums_[current]);
      for (; row < end; ++row) AddSums<1>(row, block, sums_[current]);
    }
  }

  // Of blocks from `block` on, counted in the panel.
  void ComputeSums(int block, Sums& sums) {
    const int num_tiles = NumBlocks(block) * kHalves;
    [&]<int... kIndices>(std::integer_sequence<int, kIndices...>) {
      ((kIndices < num_tiles ? ComputeTile<kIndices>(block, sums) : void()), ...);
    }
    (std::make_integer_sequence<int, kFlight * kHalves>());
  }

  int NumBlocks(int block) const {
    return num_blocks_ - block < kFlight ? num_blocks_ - block : kFlight;
  }

  // The sums of half block kIndex after `block`. Neighbours use different registers.
  template <int kIndex>
  [[gnu::always_inline]] void ComputeTile(int block, Sums& sums) {
    constexpr int kHalf = kIndex % kHalves;
    constexpr int kWeights = 6 + kIndex % 2;
    const int b = block + kIndex / kHalves;
    tiles_.template Load<kWeights>(args_.panel->quants[0][b][kHalf * kFormat.sub_block / 4],
                                   kTileBytes);
    const int8_t* x = args_.quants + tile_row_ * row_bytes_ + (panel_begin_ + b) * kQuantBlock +
                      kHalf * kFormat.sub_block;
    [&]<int... kPlane>(std::integer_sequence<int, kPlane...>) {
      (Plane<kIndex * kPlanes + kPlane, kWeights>(x + kPlane * args_.cols,
                                                  sums.tiles[kIndex][kPlane][0]),
       ...);
    }
    (std::make_integer_sequence<int, kPlanes>());
  }

  template <int kIndex, int kWeights>
  [[gnu::always_inline]] void Plane(const int8_t* x, int32_t* sums) {
    constexpr int kActivations = 4 + kIndex % 2;
    constexpr int kSum = kIndex % 4;
    tiles_.template Load<kActivations>(x, row_bytes_);
    tiles_.template Zero<kSum>();
    tiles_.template DotInt8<kSum, kActivations, kWeights>();
    tiles_.template Store<kSum>(sums, kTileBytes);
  }

  // Adds blocks from `block` on of kX rows from `row` to the totals, as QuantizedTile does.
  template <int kX>
  [[gnu::always_inline]] void AddSums(int64_t row, int block, const Sums& sums) {
    using F = typename V::F;
    using I = typename V::I;
    const QuantPanel& panel = *args_.panel;
    const BlockScale* x_scales = args_.scales + row * num_all_ + panel_begin_ + block;
    const int64_t tile_row = row - tile_row_;
    const int num_blocks = NumBlocks(block);
    float* out = out_ + row * args_.out_stride;
    F totals[kX];
#pragma GCC unroll 4
    for (int i = 0; i < kX; ++i) {
      totals[i] = panel_begin_ + block == 0 ? V::Zero() : V::Load(out + i * args_.out_stride);
    }
    for (int b = 0; b < num_blocks; ++b, ++x_scales) {
#pragma GCC unroll 2
      for (int half = 0; half < kHalves; ++half) {
        const F w_scales = V::Load(panel.scales[block + b][half]);
        const auto& planes = sums.tiles[b * kHalves + half];
#pragma GCC unroll 4
        for (int i = 0; i < kX; ++i) {
          I sum = V::LoadInt(planes[0][tile_row + i]);
          if constexpr (kPlanes == 2) {
            sum = V::AddInt(V::ShiftLeft(sum, 7), V::LoadInt(planes[1][tile_row + i]));
          }
          const F scale = V::Mul(w_scales, V::Set(x_scales[i * num_all_].scale));
          totals[i] = V::FusedMulAdd(V::ToFloat(sum), scale, totals[i]);
        }
      }
      if constexpr (kFormat.has_min) {
        const F mins = V::Load(panel.mins[block + b]);
#pragma GCC unroll 4
        for (int i = 0; i < kX; ++i) {
          totals[i] = V::FusedMulAdd(mins, V::Set(x_scales[i * num_all_].scaled_sum), totals[i]);
        }
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < kX; ++i) V::Store(out + i * args_.out_stride, totals[i]);
  }

  const QuantizedMatMulArgs& args_;
  float* const out_;  // 16 columns of all rows
  Tiles& tiles_;
  const int64_t num_all_ = args_.cols / kQuantBlock;  // blocks of a row
  const int64_t row_bytes_ = args_.cols * kPlanes;

  int64_t panel_begin_ = 0;  // the block that stands first in the panel
  int num_blocks_ = 0;       // in the panel
  int64_t tile_row_ = 0;     // the row that stands first in tiles
  Sums sums_[2];
};

// Groups [begin, end) of the weight.
template <typename V, typename Tiles>
void TileQuantizedMatMul(const QuantizedMatMulArgs& args, int64_t begin, int64_t end) {
  if (args.num_rows < kMinTileRows) return QuantizedMatMul<V>(args, begin, end);
  int sub_block = 0;
  VisitPackedFormat(args.dtype, [&]<PackedFormat kFormat>() { sub_block = kFormat.sub_block; });
  Tiles tiles(QuantizedTileShapes(args.num_rows, sub_block));
  ForEachGroup(args, begin, end,
               [&]<PackedFormat kFormat, int kPlanes>(const QuantizedMatMulArgs& group_args,
                                                      int64_t group, float* out) {
                 TileGroup<V, Tiles, kFormat, kPlanes>(group_args, out, tiles).Run(group);
               });
}

}  // namespace tandem
