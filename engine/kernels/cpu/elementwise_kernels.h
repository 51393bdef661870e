// Norms, rotations and element by element work. A value's result does not depend on where in a
// vector it stands, so these may be cut anywhere.
#pragma once

#include <cstdint>

#include "engine/kernels/cpu/kernel_table.h"
#include "engine/kernels/cpu/vector_math.h"
#include "engine/kernels/cpu/weight_blocks.h"

namespace tandem {

// Calls visit(begin, count) for each vector of [0, size); count < 16 in the last one only.
template <typename Visit>
[[gnu::always_inline]] inline void ForEachVector(int64_t size, Visit visit) {
  for (int64_t i = 0; i < size; i += 16) visit(i, size - i < 16 ? size - i : 16);
}

template <typename V>
void EmbedRow(DType dtype, const uint8_t* row, int64_t cols, float scale, float* out) {
  VisitDType(dtype, [&]<DType D>() { DecodeRow<V, D>(row, cols, out); });
  if (scale == 1.0f) return;
  for (int64_t i = 0; i < cols; ++i) out[i] *= scale;
}

template <typename V>
void RmsNorm(const float* x, const float* weight, float epsilon, int64_t cols, float* out) {
  typename V::F squares = V::Zero();
  ForEachVector(cols, [&](int64_t i, int64_t n) {
    const auto value = V::LoadPartial(x + i, n);
    squares = V::MulAdd(value, value, squares);
  });
  const float mean = V::Sum(squares) / static_cast<float>(cols);
  const float factor = 1.0f / __builtin_sqrtf(mean + epsilon);
  for (int64_t i = 0; i < cols; ++i) out[i] = x[i] * factor * weight[i];
}

template <typename V>
void Rope(const RopeArgs& args) {
  const int half = args.rotary_dim / 2;
  const bool neighbours = args.pairs == RopePairs::kNeighbours;
  const int step = neighbours ? 2 : 1;
  for (int head = 0; head < args.num_heads; ++head) {
    float* first = args.x + head * args.head_dim;
    float* second = first + (neighbours ? 1 : half);
    for (int i = 0; i < half; ++i) {
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

// silu(x) = x / (1 + e^-x). gelu_tanh(x) = x/2 (1 + tanh u), u = sqrt(2/pi) (x + 0.044715 x^3),
// which is x / (1 + e^-2u): no cancellation for negative x.
template <typename V>
void GatedActivation(Activation activation, const float* gate, const float* up, int64_t size,
                     float* out) {
  using F = typename V::F;
  const F one = V::Set(1.0f);
  ForEachVector(size, [&](int64_t i, int64_t n) {
    const F x = V::LoadPartial(gate + i, n);
    F exponent = V::Sub(V::Zero(), x);
    if (activation == Activation::kGeluTanh) {
      const F cubic = V::MulAdd(V::Mul(x, x), V::Set(0.044715f), one);
      exponent = V::Mul(V::Mul(exponent, cubic), V::Set(1.5957691216f));  // 2 sqrt(2 / pi)
    }
    const F activated = V::Div(x, V::Add(one, Exp<V>(exponent)));
    V::StorePartial(out + i, n, V::Mul(activated, V::LoadPartial(up + i, n)));
  });
}

template <typename V>
void AddTo(const float* y, int64_t size, float* x) {
  for (int64_t i = 0; i < size; ++i) x[i] += y[i];
}

template <typename V>
void Softcap(float cap, int64_t size, float* x) {
  const typename V::F caps = V::Set(cap);
  ForEachVector(size, [&](int64_t i, int64_t n) {
    const auto value = V::LoadPartial(x + i, n);
    V::StorePartial(x + i, n, V::Mul(caps, Tanh<V>(V::Div(value, caps))));
  });
}

}  // namespace tandem
