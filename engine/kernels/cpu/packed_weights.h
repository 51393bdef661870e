// Quantised weights in the order in which the integer kernels read them: as many bits as stored,
// rearranged once when a model is loaded. One layout serves every instruction set.
//
// Rows are taken in groups of 16 (the last one filled up with zeros), columns in blocks of 32.
// Group by group and block by block stand
//   quants  unsigned numbers of 4, 5, 6 or 8 bits; see Expand() in quantized_matmul.h. Expanded
//           they are bytes [8][16 rows][4 columns]: register j holds columns 4 j .. 4 j + 3 of 16
//           rows, which one VNNI instruction or row of an AMX tile takes.
//   scales  16-bit floats [32 / sub_block][16 rows]
//   mins    16-bit floats [16 rows], only where has_min
// A weight is scale * quant + min, or scale * (quant - zero).
//
// F32, F16 and BF16 weights stand in groups of 16 rows too, column by column: [columns][16 rows];
// or, BF16 for instructions that take them so, in pairs of columns: [columns / 2][16 rows][2], with
// zeros up to a multiple of 32 columns.
#pragma once

#include <cstdint>

#include "engine/core/dtype.h"

namespace tandem {

inline constexpr int kGroupRows = 16;    // weight rows that are packed together
inline constexpr int kQuantBlock = 32;   // columns that share an activation scale
inline constexpr int kGroupBytes = 512;  // expanded quants of one block of one group
inline constexpr int kPairColumns = 32;  // packed BF16 weights have a multiple of it

enum class FloatLayout { kColumns, kPairs };

struct PackedFormat {
  int bits = 0;        // of a quant
  int sub_block = 32;  // columns that share a weight scale: 32 or 16
  bool has_min = false;
  int zero = 0;

  constexpr int QuantBytes() const { return kGroupBytes * bits / 8; }
  constexpr int BlockBytes() const {
    return QuantBytes() + kGroupRows * 2 * (kQuantBlock / sub_block + (has_min ? 1 : 0));
  }
};

// Blocks that are expanded at a time: 8 or 16 KiB of quants and 2 KiB of scales stay in L1 while
// all rows of activations pass.
inline constexpr int kPanelBlocks = 16;

// Expanded blocks of one group; scales and minimums as floats.
struct QuantPanel {
  alignas(64) uint8_t quants[2][kPanelBlocks][8][64];  // the second half: see kQuantParts
  alignas(64) float scales[kPanelBlocks][2][kGroupRows];
  alignas(64) float mins[kPanelBlocks][kGroupRows];
};

// 32 quantised activations.
struct BlockScale {
  float scale;       // of a quant
  float scaled_sum;  // scale * (sums[0] + sums[1])
  int32_t sums[2];   // of the quants of either half
};

// Calls visit.template operator()<PackedFormat>() with the format that weights of `dtype` are
// packed in and returns true, or returns false for types that are not packed.
template <typename Visit>
[[gnu::always_inline]] inline bool VisitPackedFormat(DType dtype, Visit visit) {
  switch (dtype) {
    case DType::kQ4_0:
      visit.template operator()<PackedFormat{.bits = 4, .zero = 8}>();
      return true;
    case DType::kQ4_1:
    case DType::kQ4_K:
      visit.template operator()<PackedFormat{.bits = 4, .has_min = true}>();
      return true;
    case DType::kQ5_0:
      visit.template operator()<PackedFormat{.bits = 5, .zero = 16}>();
      return true;
    case DType::kQ5_1:
    case DType::kQ5_K:
      visit.template operator()<PackedFormat{.bits = 5, .has_min = true}>();
      return true;
    case DType::kQ6_K:
      visit.template operator()<PackedFormat{.bits = 6, .sub_block = 16, .zero = 32}>();
      return true;
    case DType::kQ8_0:
      visit.template operator()<PackedFormat{.bits = 8, .zero = 128}>();
      return true;
    default:
      return false;
  }
}

}  // namespace tandem
