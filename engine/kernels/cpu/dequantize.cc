#include "engine/kernels/cpu/dequantize.h"

#include <cstring>

#include "engine/tensor/float16.h"

namespace tandem {
namespace {

template <typename T>
T Read(const uint8_t* p) {
  T value;
  std::memcpy(&value, p, sizeof(value));
  return value;
}

float ReadHalf(const uint8_t* p) { return FloatFromHalf(Read<uint16_t>(p)); }

// Element i of a block of 32 whose low 4 bits lie in 16 bytes.
int Nibble(const uint8_t* quants, int i) { return i < 16 ? quants[i] & 15 : quants[i - 16] >> 4; }

float Element32(DType dtype, const uint8_t* block, int i) {
  const auto fifth_bit = [i](const uint8_t* p) { return (Read<uint32_t>(p) >> i & 1) << 4; };
  const float d = ReadHalf(block);
  switch (dtype) {
    case DType::kQ8_0:
      return d * static_cast<int8_t>(block[2 + i]);
    case DType::kQ4_0:
      return d * (Nibble(block + 2, i) - 8);
    case DType::kQ4_1:
      return d * Nibble(block + 4, i) + ReadHalf(block + 2);
    case DType::kQ5_0:
      return d * (static_cast<int>(Nibble(block + 6, i) | fifth_bit(block + 2)) - 16);
    default:  // kQ5_1
      return d * (Nibble(block + 8, i) | fifth_bit(block + 4)) + ReadHalf(block + 2);
  }
}

// The 6-bit scale and minimum of sub-block `sub` of Q4_K and Q5_K, in twelve bytes.
void SixBitPair(const uint8_t* packed, int sub, int* scale, int* min) {
  if (sub < 4) {
    *scale = packed[sub] & 63;
    *min = packed[sub + 4] & 63;
  } else {
    *scale = (packed[sub + 4] & 15) | (packed[sub - 4] >> 6) << 4;
    *min = (packed[sub + 4] >> 4) | (packed[sub] >> 6) << 4;
  }
}

float Element256(DType dtype, const uint8_t* block, int i) {
  if (dtype == DType::kQ6_K) {
    const int half = i / 128, quarter = i % 128 / 32, column = i % 32;
    const uint8_t low_byte = block[half * 64 + quarter % 2 * 32 + column];
    const int low = quarter < 2 ? low_byte & 15 : low_byte >> 4;
    const int high = block[128 + half * 32 + column] >> (2 * quarter) & 3;
    const int scale = static_cast<int8_t>(block[192 + i / 16]);
    return ReadHalf(block + 208) * scale * ((low | high << 4) - 32);
  }
  const int sub = i / 32, column = i % 32;
  int scale, min;
  SixBitPair(block + 4, sub, &scale, &min);
  const bool five_bits = dtype == DType::kQ5_K;
  const uint8_t byte = block[(five_bits ? 48 : 16) + sub / 2 * 32 + column];
  int quant = sub % 2 == 0 ? byte & 15 : byte >> 4;
  if (five_bits) quant |= (block[16 + column] >> sub & 1) << 4;
  return ReadHalf(block) * scale * quant - ReadHalf(block + 2) * min;
}

}  // namespace

std::vector<float> DequantizeRow(const MatrixView& matrix, int64_t row) {
  const DTypeInfo& info = GetDTypeInfo(matrix.dtype);
  std::vector<float> out(matrix.cols);
  for (int64_t k = 0; k < matrix.cols; ++k) {
    const uint8_t* block = matrix.Row(row) + k / info.block_size * info.block_bytes;
    const int i = static_cast<int>(k % info.block_size);
    if (matrix.dtype == DType::kF32) {
      out[k] = Read<float>(block);
    } else if (matrix.dtype == DType::kF16) {
      out[k] = ReadHalf(block);
    } else if (matrix.dtype == DType::kBF16) {
      out[k] = FloatFromBFloat16(Read<uint16_t>(block));
    } else if (info.block_size == 32) {
      out[k] = Element32(matrix.dtype, block, i);
    } else {
      out[k] = Element256(matrix.dtype, block, i);
    }
  }
  return out;
}

}  // namespace tandem
