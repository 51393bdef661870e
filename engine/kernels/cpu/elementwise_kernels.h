// Norms, rotations and element by element work. A value's result does not depend on where in a
// vector it stands, so these may be cut anywhere.
#pragma once

#include <cstdint>

#include "engine/kernels/cpu/kernel_table.h"
#include "engine/kernels/cpu/vector_math.h"
#include "engine/kernels/cpu/weight_blocks.h"

namespace tandem {

// Calls visit(begin, count, vector) for each vector of x [size]; count < 16 in the last one only,
// whose other lanes are 0.
template <typename V, typename Visit>
[[gnu::always_inline]] inline void ForEachVector(const float* x, int64_t size, Visit visit) {
  int64_t i = 0;
  for (; i + 16 <= size; i += 16) visit(i, int64_t{16}, V::Load(x + i));
  if (i < size) visit(i, size - i, V::LoadPartial(x + i, size - i));
}

// Masks cost dozens of cycles on some CPUs.
template <typename V>
[[gnu::always_inline]] inline typename V::F LoadFirst(const float* p, int64_t n) {
  return n == 16 ? V::Load(p) : V::LoadPartial(p, n);
}
template <typename V>
[[gnu::always_inline]] inline void StoreFirst(float* p, int64_t n, typename V::F x) {
  n == 16 ? V::Store(p, x) : V::StorePartial(p, n, x);
}

template <typename V>
void EmbedRow(DType dtype, const uint8_t* row, int64_t cols, float scale, float* out) {
  VisitDType(dtype, [&]<DType D>() { DecodeRow<V, D>(row, cols, out); });
  if (scale == 1.0f) return;
  for (int64_t i = 0; i < cols; ++i) out[i] *= scale;
}

template <typename V>
void RmsNorm(const float* x, const float* weight, float epsilon, int64_t cols, float* out) {
  using F = typename V::F;
  // Two chains, because one waits for each of its additions.
  F squares[2] = {V::Zero(), V::Zero()};
  int64_t i = 0;
  for (; i + 32 <= cols; i += 32) {
    for (int j = 0; j < 2; ++j) {
      const F value = V::Load(x + i + 16 * j);
      squares[j] = V::MulAdd(value, value, squares[j]);
    }
  }
  ForEachVector<V>(x + i, cols - i, [&](int64_t, int64_t, F value) {
    squares[0] = V::MulAdd(value, value, squares[0]);
  });
  const float mean = V::Sum(V::Add(squares[0], squares[1])) / static_cast<float>(cols);
  const F factor = V::Set(1.0f / __builtin_sqrtf(mean + epsilon));
  ForEachVector<V>(x, cols, [&](int64_t j, int64_t n, F value) {
    StoreFirst<V>(out + j, n, V::Mul(V::Mul(value, factor), LoadFirst<V>(weight + j, n)));
  });
}

template <typename V>
void Rope(const RopeArgs& args) {
  const int half = args.rotary_dim / 2;
  const bool neighbours = args.pairs == RopePairs::kNeighbours;
  const int step = neighbours ? 2 : 1;
  for (int head = 0; head < args.num_heads; ++head) {
    float* first = args.x + head * args.head_dim;
    float* second = first + (neighbours ? 1 : half);
    int i = 0;
    for (; !neighbours && i + 16 <= half; i += 16) {
      const auto a = V::Load(first + i), b = V::Load(second + i);
      const auto cos = V::Load(args.cos + i), sin = V::Load(args.sin + i);
      V::Store(first + i, V::Sub(V::Mul(a, cos), V::Mul(b, sin)));
      V::Store(second + i, V::Add(V::Mul(b, cos), V::Mul(a, sin)));
    }
    for (; i < half; ++i) {
      const float a = first[i * step], b = second[i * step];
      first[i * step] = a * args.cos[i] - b * args.sin[i];
      second[i * step] = b * args.cos[i] + a * args.sin[i];
    }
  }
}

template <typename V>
void StoreAs(const float* x, int64_t size, DType dtype, void* out) {
  if (dtype == DType::kF32) {
    __builtin_memcpy(out, x, size * sizeof(float));
  } else if (dtype == DType::kF16) {
    uint16_t* halves = static_cast<uint16_t*>(out);
    const int64_t whole = size / 16 * 16;
    for (int64_t i = 0; i < whole; i += 16) V::StoreHalf(halves + i, V::Load(x + i));
    uint16_t rest[16];
    V::StoreHalf(rest, V::LoadPartial(x + whole, size - whole));
    __builtin_memcpy(halves + whole, rest, (size - whole) * sizeof(uint16_t));
  } else {
    uint16_t* out16 = static_cast<uint16_t*>(out);
    for (int64_t i = 0; i < size; ++i) {
      uint32_t bits;
      __builtin_memcpy(&bits, x + i, sizeof(bits));
      const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
      const uint32_t quiet_nan = (bits >> 16) | 0x40;
      out16[i] = static_cast<uint16_t>((bits & 0x7fffffff) > 0x7f800000 ? quiet_nan : rounded);
    }
  }
}

// Bytes that times the scale behind them are nearest to x: scale = max |x| / 127. Where x has what
// is not finite the scale is NaN, and so is all that is read back.
template <typename V>
void StoreQuantised(const float* x, int64_t size, uint8_t* out) {
  using F = typename V::F;
  F largest = V::Zero(), check = V::Zero();
  ForEachVector<V>(x, size, [&](int64_t, int64_t, F value) {
    largest = V::Max(largest, V::Abs(value));
    check = V::Add(check, V::Sub(value, value));  // NaN for what is not finite, else 0
  });
  const float max = V::MaxLane(largest);
  const F inverse = V::Set(max > 0 ? 127.0f / max : 0.0f);
  ForEachVector<V>(x, size, [&](int64_t i, int64_t n, F value) {
    int8_t bytes[16];
    V::StoreInt8(bytes, V::RoundToInt(V::Mul(value, inverse)));
    __builtin_memcpy(out + i, bytes, n);
  });
  const float scale = max / 127.0f + V::Sum(check);
  __builtin_memcpy(out + size, &scale, sizeof(scale));
}

template <typename V>
void StoreHeads(const float* x, int num_heads, int head_dim, DType dtype, uint8_t* out) {
  if (dtype != DType::kI8) return StoreAs<V>(x, int64_t{num_heads} * head_dim, dtype, out);
  const int64_t head_bytes = head_dim + sizeof(float);
  for (int64_t head = 0; head < num_heads; ++head) {
    StoreQuantised<V>(x + head * head_dim, head_dim, out + head * head_bytes);
  }
}

// silu(x) = x / (1 + e^-x). gelu_tanh(x) = x/2 (1 + tanh u), u = sqrt(2/pi) (x + 0.044715 x^3),
// which is x / (1 + e^-2u): no cancellation for negative x.
template <typename V>
void GatedActivation(Activation activation, const float* gate, const float* up, int64_t size,
                     float* out) {
  using F = typename V::F;
  const F one = V::Set(1.0f);
  ForEachVector<V>(gate, size, [&](int64_t i, int64_t n, F x) {
    F exponent = V::Sub(V::Zero(), x);
    if (activation == Activation::kGeluTanh) {
      const F cubic = V::MulAdd(V::Mul(x, x), V::Set(0.044715f), one);
      exponent = V::Mul(V::Mul(exponent, cubic), V::Set(1.5957691216f));  // 2 sqrt(2 / pi)
    }
    // Below -88, where Exp no longer grows, the result is 0 to 36 places.
    const F bounded = V::Max(V::Set(-88.0f), x);
    const F activated = V::Div(bounded, V::Add(one, Exp<V>(exponent)));
    StoreFirst<V>(out + i, n, V::Mul(activated, LoadFirst<V>(up + i, n)));
  });
}

template <typename V>
void AddTo(const float* y, int64_t size, float* x) {
  for (int64_t i = 0; i < size; ++i) x[i] += y[i];
}

template <typename V>
void Softcap(float cap, int64_t size, float* x) {
  using F = typename V::F;
  const F caps = V::Set(cap);
  ForEachVector<V>(x, size, [&](int64_t i, int64_t n, F value) {
    StoreFirst<V>(x + i, n, V::Mul(caps, Tanh<V>(V::Div(value, caps))));
  });
}

}  // namespace tandem
