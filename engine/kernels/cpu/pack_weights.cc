#include "engine/kernels/cpu/pack_weights.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/kernels/cpu/packed_weights.h"
#include "engine/tensor/float16.h"

namespace tandem {
namespace {

// 32 consecutive weights of a row, as packed_weights.h describes a weight.
struct Block {
  uint8_t quants[kQuantBlock];
  float scales[2];  // of both halves; equal where the sub-block is 32
  float min = 0;
};

float HalfAt(const uint8_t* p) {
  uint16_t bits;
  std::memcpy(&bits, p, sizeof(bits));
  return FloatFromHalf(bits);
}

void SetScale(float scale, Block& block) { block.scales[0] = block.scales[1] = scale; }

// 16 bytes: elements 0..15 in the low halves, 16..31 in the high halves.
void ReadFourBits(const uint8_t* p, Block& block) {
  for (int i = 0; i < 16; ++i) {
    block.quants[i] = p[i] & 15;
    block.quants[16 + i] = p[i] >> 4;
  }
}

// Bit i of four bytes is the fifth bit of element i.
void AddFifthBits(const uint8_t* p, Block& block) {
  uint32_t bits;
  std::memcpy(&bits, p, sizeof(bits));
  for (int i = 0; i < kQuantBlock; ++i) block.quants[i] |= (bits >> i & 1) << 4;
}

// The 6-bit scale and minimum of sub-block `sub` of Q4_K and Q5_K; see SubBlockScales in
// weight_blocks.h.
void ReadSixBitPair(const uint8_t* p, int sub, int* scale, int* min) {
  if (sub < 4) {
    *scale = p[sub] & 63;
    *min = p[4 + sub] & 63;
  } else {
    *scale = (p[4 + sub] & 15) | (p[sub - 4] >> 6 << 4);
    *min = (p[4 + sub] >> 4) | (p[sub] >> 6 << 4);
  }
}

// Sub-block `sub` of 32 of a block of 256. The layouts are those that weight_blocks.h describes.
void ReadQ4K(const uint8_t* p, int sub, bool five_bits, Block& block) {
  int scale, min;
  ReadSixBitPair(p + 4, sub, &scale, &min);
  SetScale(HalfAt(p) * static_cast<float>(scale), block);
  block.min = -HalfAt(p + 2) * static_cast<float>(min);
  const uint8_t* quants = p + (five_bits ? 48 : 16) + sub / 2 * 32;
  for (int i = 0; i < kQuantBlock; ++i) {
    block.quants[i] = quants[i] >> (sub % 2 * 4) & 15;
    if (five_bits) block.quants[i] |= (p[16 + i] >> sub & 1) << 4;
  }
}

void ReadQ6K(const uint8_t* p, int sub, Block& block) {
  const int half = sub / 4, quarter = sub % 4;
  const float scale = HalfAt(p + 208);
  for (int i = 0; i < 2; ++i) {
    block.scales[i] = scale * static_cast<float>(static_cast<int8_t>(p[192 + sub * 2 + i]));
  }
  const uint8_t* low = p + half * 64 + quarter % 2 * 32;
  const uint8_t* high = p + 128 + half * 32;
  for (int i = 0; i < kQuantBlock; ++i) {
    block.quants[i] = (low[i] >> (quarter / 2 * 4) & 15) | (high[i] >> (quarter * 2) & 3) << 4;
  }
}

// Block `index` of 32 columns of a row that starts at `row`.
void ReadBlock(DType dtype, const uint8_t* row, int64_t index, Block& block) {
  const DTypeInfo& info = GetDTypeInfo(dtype);
  const uint8_t* p = row + index * kQuantBlock / info.block_size * info.block_bytes;
  const int sub = static_cast<int>(index % (info.block_size / kQuantBlock));
  if (dtype == DType::kQ4_K || dtype == DType::kQ5_K) {
    return ReadQ4K(p, sub, dtype == DType::kQ5_K, block);
  }
  if (dtype == DType::kQ6_K) return ReadQ6K(p, sub, block);
  SetScale(HalfAt(p), block);
  switch (dtype) {
    case DType::kQ4_0:
      return ReadFourBits(p + 2, block);
    case DType::kQ4_1:
      block.min = HalfAt(p + 2);
      return ReadFourBits(p + 4, block);
    case DType::kQ5_0:
      ReadFourBits(p + 6, block);
      return AddFifthBits(p + 2, block);
    case DType::kQ5_1:
      block.min = HalfAt(p + 2);
      ReadFourBits(p + 8, block);
      return AddFifthBits(p + 4, block);
    default:  // Q8_0
      for (int i = 0; i < kQuantBlock; ++i) block.quants[i] = p[2 + i] ^ 0x80;
  }
}

// Expanded quants [8][16 rows][4 columns] -> `bits` each, as Expand() in quantized_matmul.h takes
// them apart.
void PackQuants(const uint8_t (&bytes)[8][64], int bits, uint8_t* out) {
  if (bits == 8) {
    std::memcpy(out, bytes, sizeof(bytes));
    return;
  }
  for (int j = 0; j < 4; ++j) {
    for (int t = 0; t < 64; ++t) {
      out[j * 64 + t] = (bytes[j][t] & 15) | (bytes[4 + j][t] & 15) << 4;
    }
  }
  uint8_t* high = out + 256;
  for (int plane = 0; plane < bits - 4; ++plane, high += 64) {
    const int bits_per_byte = bits - 4;
    const int registers = 8 / bits_per_byte;
    for (int t = 0; t < 64; ++t) {
      high[t] = 0;
      for (int i = 0; i < registers; ++i) {
        high[t] |= bytes[plane * registers + i][t] >> 4 << (i * bits_per_byte);
      }
    }
  }
}

template <PackedFormat kFormat>
void PackGroup(const MatrixView& w, float unit, int64_t group, uint8_t* out) {
  const int64_t row_begin = group * kGroupRows;
  const int num_rows = static_cast<int>(std::min<int64_t>(kGroupRows, w.rows - row_begin));
  for (int64_t index = 0; index < w.cols / kQuantBlock; ++index, out += kFormat.BlockBytes()) {
    uint8_t bytes[8][64] = {};
    uint16_t scales[2][kGroupRows] = {}, mins[kGroupRows] = {};
    for (int row = 0; row < num_rows; ++row) {
      Block block;
      ReadBlock(w.dtype, w.Row(row_begin + row), index, block);
      for (int k = 0; k < kQuantBlock; ++k) bytes[k / 4][row * 4 + k % 4] = block.quants[k];
      scales[0][row] = HalfFromFloat(block.scales[0] / unit);
      scales[1][row] = HalfFromFloat(block.scales[1] / unit);
      mins[row] = HalfFromFloat(block.min / unit);
    }
    PackQuants(bytes, kFormat.bits, out);
    const int64_t scale_bytes = kGroupRows * 2 * (kQuantBlock / kFormat.sub_block);
    std::memcpy(out + kFormat.QuantBytes(), scales, scale_bytes);
    if (kFormat.has_min) std::memcpy(out + kFormat.QuantBytes() + scale_bytes, mins, sizeof(mins));
  }
}

int64_t PairBytes(const MatrixView& w) {  // of one group
  const int64_t padded_cols = (w.cols + kPairColumns - 1) / kPairColumns * kPairColumns;
  return padded_cols * kGroupRows * static_cast<int64_t>(sizeof(uint16_t));
}

void PackPairs(const MatrixView& w, int64_t group, uint8_t* out) {
  std::memset(out, 0, PairBytes(w));
  uint16_t* pairs = reinterpret_cast<uint16_t*>(out);
  const int64_t row_begin = group * kGroupRows;
  const int64_t num_rows = std::min<int64_t>(kGroupRows, w.rows - row_begin);
  for (int64_t row = 0; row < num_rows; ++row) {
    const uint8_t* stored = w.Row(row_begin + row);
    for (int64_t k = 0; k < w.cols; ++k) {
      std::memcpy(pairs + (k / 2 * kGroupRows + row) * 2 + k % 2, stored + k * 2, 2);
    }
  }
}

// T: as wide as a weight.
template <typename T>
void PackColumns(const MatrixView& w, int64_t group, T* out) {
  const int64_t row_begin = group * kGroupRows;
  const int64_t num_rows = std::min<int64_t>(kGroupRows, w.rows - row_begin);
  std::fill(out, out + w.cols * kGroupRows, T{0});
  for (int64_t row = 0; row < num_rows; ++row) {
    const uint8_t* stored = w.Row(row_begin + row);
    for (int64_t k = 0; k < w.cols; ++k) {
      std::memcpy(out + k * kGroupRows + row, stored + k * sizeof(T), sizeof(T));
    }
  }
}

// Of one group of floats.
int64_t FloatGroupBytes(const MatrixView& w, FloatLayout layout) {
  return layout == FloatLayout::kPairs ? PairBytes(w)
                                       : w.cols * kGroupRows * GetDTypeInfo(w.dtype).block_bytes;
}

void PackFloats(const MatrixView& w, FloatLayout layout, int64_t group, uint8_t* out) {
  if (layout == FloatLayout::kPairs) return PackPairs(w, group, out);
  if (w.dtype == DType::kF32) return PackColumns(w, group, reinterpret_cast<uint32_t*>(out));
  PackColumns(w, group, reinterpret_cast<uint16_t*>(out));
}

}  // namespace

int64_t PackedBytes(const MatrixView& w, FloatLayout layout) {
  const int64_t num_groups = (w.rows + kGroupRows - 1) / kGroupRows;
  if (GetDTypeInfo(w.dtype).block_size == 1) return num_groups * FloatGroupBytes(w, layout);
  int64_t block_bytes = 0;
  VisitPackedFormat(w.dtype, [&]<PackedFormat kFormat>() { block_bytes = kFormat.BlockBytes(); });
  return num_groups * (w.cols / kQuantBlock) * block_bytes;
}

float PackedUnit(const MatrixView& w) {
  const DTypeInfo& info = GetDTypeInfo(w.dtype);
  if (info.block_size != 256) return 1;
  float largest = 0;
  for (int64_t row = 0; row < w.rows; ++row) {
    const uint8_t* p = w.Row(row);
    for (const uint8_t* end = p + w.RowBytes(); p < end; p += info.block_bytes) {
      if (w.dtype == DType::kQ6_K) {
        largest = std::max(largest, std::abs(HalfAt(p + 208)) * 128);
      } else {
        largest = std::max({largest, std::abs(HalfAt(p)) * 63, std::abs(HalfAt(p + 2)) * 63});
      }
    }
  }
  if (!(largest > 0) || !std::isfinite(largest)) return 1;
  // The largest becomes 2^14..2^15, which leaves 28 powers of two below it at full precision.
  return std::ldexp(1.0f, std::ilogb(largest) - 14);
}

void PackGroups(const MatrixView& w, FloatLayout layout, int64_t begin, int64_t end, uint8_t* out) {
  if (GetDTypeInfo(w.dtype).block_size == 1) {
    const int64_t group_bytes = FloatGroupBytes(w, layout);
    for (int64_t group = begin; group < end; ++group) {
      PackFloats(w, layout, group, out + group * group_bytes);
    }
  }
  VisitPackedFormat(w.dtype, [&]<PackedFormat kFormat>() {
    const int64_t group_bytes = w.cols / kQuantBlock * kFormat.BlockBytes();
    for (int64_t group = begin; group < end; ++group) {
      PackGroup<kFormat>(w, w.packed_unit, group, out + group * group_bytes);
    }
  });
}

}  // namespace tandem
