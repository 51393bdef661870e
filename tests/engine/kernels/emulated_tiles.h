// The tiles of amx_tiles.h and the BF16 products of AVX-512 in plain C++, so that kernels with them
// run on any machine.
//
// Integers are exact. BF16 follows the operations that Intel documents for TDPBF16PS and VDPBF16PS
// (SDM, volume 2): fused multiply-adds that round to nearest even, with denormal inputs and results
// taken for zero. Two things are not followed: the bits of NaNs, and that a result which only
// rounding lifts out of the denormals is flushed or not as the precision of that rounding has it.
#pragma once

#include <cfloat>
#include <cmath>
#include <cstring>

#include "engine/core/log.h"
#include "engine/kernels/cpu/amx_tiles.h"
#include "engine/kernels/cpu/vector_portable.h"
#include "engine/tensor/float16.h"

namespace tandem {

inline float FlushDenormal(float x) { return std::abs(x) < FLT_MIN ? std::copysign(0.0f, x) : x; }

// a * b + c
inline float BFloat16MulAdd(uint16_t a, uint16_t b, float c) {
  return FlushDenormal(std::fma(FlushDenormal(FloatFromBFloat16(a)),
                                FlushDenormal(FloatFromBFloat16(b)), FlushDenormal(c)));
}

class EmulatedTiles {
 public:
  explicit EmulatedTiles(const TileShapes& shapes) : shapes_(shapes) {
    CHECK(shapes.palette == 1 && shapes.start_row == 0);
    for (int tile = 0; tile < 8; ++tile) {
      CHECK(shapes.rows[tile] >= 1 && shapes.rows[tile] <= kTileRows) << tile;
      CHECK(shapes.row_bytes[tile] >= 4 && shapes.row_bytes[tile] <= kTileBytes) << tile;
      CHECK(shapes.row_bytes[tile] % 4 == 0) << tile;
    }
    std::memset(tiles_, 0, sizeof(tiles_));
  }

  template <int kTile>
  void Zero() {
    std::memset(tiles_[kTile], 0, sizeof(tiles_[kTile]));
  }
  template <int kTile>
  void Load(const void* rows, int64_t stride) {
    Zero<kTile>();
    for (int i = 0; i < shapes_.rows[kTile]; ++i) {
      std::memcpy(tiles_[kTile][i], static_cast<const uint8_t*>(rows) + i * stride,
                  shapes_.row_bytes[kTile]);
    }
  }
  template <int kTile>
  void Store(void* rows, int64_t stride) {
    for (int i = 0; i < shapes_.rows[kTile]; ++i) {
      std::memcpy(static_cast<uint8_t*>(rows) + i * stride, tiles_[kTile][i],
                  shapes_.row_bytes[kTile]);
    }
  }

  template <int kC, int kA, int kB>
  void DotInt8() {
    ForEachSum<kC, kA, kB>([&](int m, int n) {
      int32_t sum = Get<int32_t>(kC, m, n);
      for (int k = 0; k < shapes_.rows[kB]; ++k) {
        for (int i = 0; i < 4; ++i) {
          sum += Get<int8_t>(kA, m, 4 * k + i) * Get<int8_t>(kB, k, 4 * n + i);
        }
      }
      std::memcpy(tiles_[kC][m] + 4 * n, &sum, sizeof(sum));
    });
  }

  template <int kC, int kA, int kB>
  void DotBFloat16() {
    ForEachSum<kC, kA, kB>([&](int m, int n) {
      float even = 0, odd = 0;
      for (int k = 0; k < shapes_.rows[kB]; ++k) {
        even = BFloat16MulAdd(Get<uint16_t>(kA, m, 2 * k), Get<uint16_t>(kB, k, 2 * n), even);
        odd = BFloat16MulAdd(Get<uint16_t>(kA, m, 2 * k + 1), Get<uint16_t>(kB, k, 2 * n + 1), odd);
      }
      const float before = FlushDenormal(Get<float>(kC, m, n));
      const float sum = FlushDenormal(before + FlushDenormal(even + odd));
      std::memcpy(tiles_[kC][m] + 4 * n, &sum, sizeof(sum));
    });
  }

 private:
  template <int kC, int kA, int kB, typename Visit>
  void ForEachSum(Visit visit) {
    // Shapes that do not fit each other are an illegal instruction.
    CHECK(shapes_.rows[kC] == shapes_.rows[kA]);
    CHECK(shapes_.row_bytes[kC] == shapes_.row_bytes[kB]);
    CHECK(shapes_.row_bytes[kA] == 4 * shapes_.rows[kB]);
    for (int m = 0; m < shapes_.rows[kC]; ++m) {
      for (int n = 0; n < shapes_.row_bytes[kC] / 4; ++n) visit(m, n);
    }
  }

  template <typename T>
  T Get(int tile, int row, int column) const {
    T value;
    std::memcpy(&value, tiles_[tile][row] + column * sizeof(T), sizeof(T));
    return value;
  }

  const TileShapes shapes_;
  uint8_t tiles_[8][kTileRows][kTileBytes];
};

// As Avx512Bf16Vector, which documents it.
struct EmulatedBf16Vector : PortableVector {
  struct Pairs {
    uint16_t values[16][2];
  };
  static Pairs LoadPairs(const uint16_t* p) {
    Pairs pairs;
    std::memcpy(pairs.values, p, sizeof(pairs.values));
    return pairs;
  }
  static F DotPairs(F sums, Pairs w, const uint16_t* x) {
    for (int n = 0; n < 16; ++n) {
      const float odd = BFloat16MulAdd(w.values[n][1], x[1], sums[n]);
      sums[n] = BFloat16MulAdd(w.values[n][0], x[0], odd);
    }
    return sums;
  }
};

}  // namespace tandem
