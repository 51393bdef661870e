// The parts of attention that take its time: reading keys and values as they are stored, and
// products of a few rows with them in registers.
#pragma once

#include <cstdint>

#include "engine/kernels/cpu/kernel_table.h"
#include "engine/kernels/cpu/weight_blocks.h"
#include "engine/kernels/cpu/with_rows.h"

namespace tandem {

template <DType D>
constexpr int64_t kKvElementBytes = D == DType::kF32  ? 4
                                    : D == DType::kI8 ? 1
                                                      : 2;

// Sixteen stored elements; those of kI8 without their scale.
template <typename V, DType D>
[[gnu::always_inline]] inline typename V::F LoadSixteen(const uint8_t* p) {
  if constexpr (D == DType::kI8) {
    return V::ToFloat(V::LoadInt8(p));
  } else {
    WeightBlock<V, D> block;
    block.Load(p);
    return block.Part(0);
  }
}

// The first `size` elements of a stored head, as floats.
template <typename V, DType D>
void DecodeHead(const uint8_t* head, int64_t size, float* out) {
  if constexpr (D == DType::kI8) {
    int64_t i = 0;
    for (; i + 16 <= size; i += 16) V::Store(out + i, LoadSixteen<V, D>(head + i));
    for (; i < size; ++i) out[i] = static_cast<int8_t>(head[i]);
  } else {
    DecodeRow<V, D>(head, size, out);
  }
}

// out[d][i] = keys[i][d], [head_dim, 16], in the type that is stored.
template <typename V, DType D>
void TransposeKeys(const uint8_t* const* keys, int head_dim, uint8_t* out) {
  constexpr int64_t kBytes = kKvElementBytes<D>;
  constexpr int kStep = kBytes == 2 ? 8 : 16;
  int d = 0;
  for (; d + kStep <= head_dim; d += kStep) {
    uint8_t* columns = out + d * 16 * kBytes;
    if constexpr (kBytes == 1) {
      V::TransposeBytes(keys, d, columns);
    } else if constexpr (kBytes == 2) {
      V::TransposeHalves(keys, 2 * d, columns);
    } else {
      typename V::F block[16];
      for (int i = 0; i < 16; ++i) block[i] = LoadSixteen<V, D>(keys[i] + 4 * d);
      V::Transpose(block);
      for (int i = 0; i < 16; ++i) {
        V::Store(reinterpret_cast<float*>(columns) + 16 * i, block[i]);
      }
    }
  }
  for (; d < head_dim; ++d) {
    for (int i = 0; i < 16; ++i) {
      __builtin_memcpy(out + (d * 16 + i) * kBytes, keys[i] + d * kBytes, kBytes);
    }
  }
}

// sums[r][v] += a[r, j] * load(j, v) for j in [begin, end), one after the other.
template <typename V, int kRows, int kVectors, typename Load>
// NOLINTNEXTLINE(readability-function-size): a matrix, a range and what becomes of them
[[gnu::always_inline]] inline void MultiplyAdd(const float* a, int64_t a_stride, int begin, int end,
                                               Load load, typename V::F (&sums)[kRows][kVectors]) {
  for (int j = begin; j < end; ++j) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const typename V::F b = load(j, v);
      // Where registers are few, a weight is fetched again for each vector rather than kept: the
      // compiler is not told that it stands in the same place.
      const float* weights = a;
      if constexpr (V::kFetchWeights && kVectors > 1) asm("" : "+r"(weights) : "r"(v));
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        sums[r][v] = V::MulAdd(V::Set(weights[r * a_stride + j]), b, sums[r][v]);
      }
    }
  }
}

// Scores of kRows queries, [kRows, head_dim] and q_stride apart, with 16 kVectors keys: those of
// kVectors groups of 16, transposed, [head_dim, 16], and as far apart as [width, 16] floats.
// scores: [kRows, kAttentionTile]
template <typename V, DType D, int kRows, int kVectors>
void ScoreTile(const float* q, int64_t width, int head_dim, const uint8_t* keys, float* scores) {
  constexpr int64_t kColumn = 16 * kKvElementBytes<D>;
  constexpr int64_t kGroupStride = 16 * sizeof(float);
  typename V::F sums[kRows][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sums[r][v] = V::Zero();
  }
  const auto load = [=](int d, int v) __attribute__((always_inline)) {
    return LoadSixteen<V, D>(keys + v * width * kGroupStride + d * kColumn);
  };
  MultiplyAdd<V>(q, width, 0, head_dim, load, sums);
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) V::Store(scores + r * kAttentionTile + v * 16, sums[r][v]);
  }
}

// Weights of kRows queries for the keys of a tile, [kRows, kAttentionTile], times the values of
// keys [begin, end), added to 16 kVectors columns of sums, [kRows, width] and sums_stride apart.
struct ValueTileArgs {
  const float* weights = nullptr;
  const uint8_t* const* values = nullptr;  // [kAttentionTile]: where each key's begin
  int begin = 0;
  int end = 0;
  float* sums = nullptr;
  int64_t sums_stride = 0;
};

template <typename V, DType D, int kRows, int kVectors>
void ValueTile(const ValueTileArgs& args, int64_t column) {
  float* out = args.sums + column;
  typename V::F sums[kRows][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sums[r][v] = V::Load(out + r * args.sums_stride + v * 16);
  }
  const uint8_t* const* values = args.values;
  const int64_t offset = column * kKvElementBytes<D>;
  const auto load = [=](int j, int v) __attribute__((always_inline)) {
    return LoadSixteen<V, D>(values[j] + offset + v * 16 * kKvElementBytes<D>);
  };
  MultiplyAdd<V>(args.weights, kAttentionTile, args.begin, args.end, load, sums);
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) V::Store(out + r * args.sums_stride + v * 16, sums[r][v]);
  }
}

}  // namespace tandem
