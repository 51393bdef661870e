// bfloat16_matmul.h with tiles: 16 rows of activations, 32 columns and 16 rows of weights at a
// time.
//
// A product of tiles sums its 32 columns, even and odd ones apart, and adds that to the output: one
// chain of tiles in ascending order per output, for one row of activations as for many.
#pragma once

#include <cstdint>

#include "engine/kernels/cpu/amx_tiles.h"
#include "engine/kernels/cpu/bfloat16_matmul.h"

namespace tandem {

// Multiplies tiles of activations with groups of weights. Tiles 0..3 hold sums, 4 and 5
// activations, 6 and 7 weights: 2 x 2 tiles of sums load each operand half as often.
template <typename V, typename Tiles>
class BFloat16Tiles {
 public:
  explicit BFloat16Tiles(const BFloat16MatMulArgs& args)
      : args_(args),
        tile_rows_(args.num_rows < kTileRows ? static_cast<int>(args.num_rows) : kTileRows),
        tiles_(Shapes(tile_rows_)) {}

  // All rows of activations with kW groups from `group`.
  template <int kW>
  void Groups(int64_t group) {
    int64_t row = 0;
    for (; row + kTileRows < args_.num_rows; row += 2 * kTileRows) Rows<2, kW>(row, group);
    for (; row < args_.num_rows; row += kTileRows) Rows<1, kW>(row, group);
  }

 private:
  [[gnu::always_inline]] static TileShapes Shapes(int rows) {
    TileShapes shapes = {};
    for (int tile = 0; tile < 6; ++tile) shapes.Set(tile, rows, kTileBytes);
    for (int tile = 6; tile < 8; ++tile) shapes.Set(tile, kTileRows, kTileBytes);
    return shapes;
  }

  // Where the tile of rows from `row` starts: the last one ends with the last row and computes
  // rows of the one before it again, to the same bits.
  int64_t TileBegin(int64_t row) const {
    const int64_t last = args_.num_rows - tile_rows_;
    return row < last ? row : last;
  }

  template <int kX, int kW>
  void Rows(int64_t row, int64_t group) {
    constexpr int64_t kStep = kPairColumns * kGroupRows;  // weights of a tile
    const int64_t first = TileBegin(row), second = TileBegin(row + kTileRows);
    const int64_t cols = args_.cols;
    const int64_t x_bytes = cols * static_cast<int64_t>(sizeof(uint16_t));
    const uint16_t* const x = args_.x + first * cols;
    const uint16_t* const second_x = args_.x + second * cols;
    const uint16_t* w = args_.packed + group * cols * kGroupRows;
    Zero<kX, kW>();
    for (int64_t k = 0; k < cols; k += kPairColumns, w += kStep) {
      tiles_.template Load<6>(w, kTileBytes);
      if constexpr (kW == 2) tiles_.template Load<7>(w + cols * kGroupRows, kTileBytes);
      tiles_.template Load<4>(x + k, x_bytes);
      tiles_.template DotBFloat16<0, 4, 6>();
      if constexpr (kW == 2) tiles_.template DotBFloat16<1, 4, 7>();
      if constexpr (kX == 2) {
        tiles_.template Load<5>(second_x + k, x_bytes);
        tiles_.template DotBFloat16<2, 5, 6>();
        if constexpr (kW == 2) tiles_.template DotBFloat16<3, 5, 7>();
      }
    }
    Write<0>(first, group);
    if constexpr (kW == 2) Write<1>(first, group + 1);
    if constexpr (kX == 2) {
      Write<2>(second, group);
      if constexpr (kW == 2) Write<3>(second, group + 1);
    }
  }

  template <int kX, int kW>
  [[gnu::always_inline]] void Zero() {
    tiles_.template Zero<0>();
    if constexpr (kW == 2) tiles_.template Zero<1>();
    if constexpr (kX == 2) tiles_.template Zero<2>();
    if constexpr (kX == 2 && kW == 2) tiles_.template Zero<3>();
  }

  template <int kTile>
  [[gnu::always_inline]] void Write(int64_t row, int64_t group) {
    const int64_t column = group * kGroupRows;
    if (args_.bias == nullptr && column + kGroupRows <= args_.num_weights) {
      return tiles_.template Store<kTile>(args_.out + row * args_.out_stride + column,
                                          args_.out_stride * static_cast<int64_t>(sizeof(float)));
    }
    alignas(64) float sums[kTileRows][kGroupRows];
    tiles_.template Store<kTile>(sums, kTileBytes);
    for (int i = 0; i < tile_rows_; ++i) StoreGroup<V>(args_, row + i, group, V::Load(sums[i]));
  }

  const BFloat16MatMulArgs& args_;
  const int tile_rows_;
  Tiles tiles_;
};

// Groups [begin, end) of the weight.
template <typename V, typename Tiles>
void TileBFloat16MatMul(const BFloat16MatMulArgs& args, int64_t begin, int64_t end) {
  BFloat16Tiles<V, Tiles> tiles(args);
  int64_t group = begin;
  for (; group + 2 <= end; group += 2) tiles.template Groups<2>(group);
  if (group < end) tiles.template Groups<1>(group);
}

}  // namespace tandem
