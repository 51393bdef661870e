#include "engine/weights/quantize_blocks.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/core/log.h"
#include "engine/tensor/float16.h"

namespace tandem {
namespace {

constexpr int kBlock = 32;

// The element of largest magnitude, the first of several; 0 for a block of zeros, NaN where one is
// not finite.
float Extreme(const float* x) {
  float extreme = 0.0f;
  for (int i = 0; i < kBlock; ++i) {
    if (!std::isfinite(x[i])) return std::nanf("");
    if (std::abs(x[i]) > std::abs(extreme)) extreme = x[i];
  }
  return extreme;
}

// 0 for a scale of 0, and for one so small that it is stored as 0 in any case.
float Inverse(float scale) {
  const float inverse = 1.0f / scale;
  return std::isfinite(inverse) ? inverse : 0.0f;
}

// Stores the scale and tells whether 16 bits hold it.
bool StoreScale(float scale, uint8_t* out) {
  const uint16_t half = HalfFromFloat(scale);
  std::memcpy(out, &half, sizeof(half));
  return std::isfinite(FloatFromHalf(half));
}

// ggml's quantize_row_q8_0_ref: halves round away from zero.
bool QuantizeBlockQ8(const float* x, uint8_t* out) {
  const float scale = std::abs(Extreme(x)) / 127;
  const float inverse = Inverse(scale);
  if (!StoreScale(scale, out)) return false;
  for (int i = 0; i < kBlock; ++i) {
    out[2 + i] = static_cast<uint8_t>(static_cast<int8_t>(std::round(x[i] * inverse)));
  }
  return true;
}

// Product and sum are rounded apart (this file is compiled without contraction): the bits would
// depend on the compiler otherwise.
int FourBits(float x, float inverse) {
  const float product = x * inverse;
  return std::min(15, static_cast<int>(product + 8.5f));
}

// ggml's quantize_row_q4_0_ref: the element of largest magnitude becomes -8 times the scale.
bool QuantizeBlockQ4(const float* x, uint8_t* out) {
  const float scale = Extreme(x) / -8;
  const float inverse = Inverse(scale);
  if (!StoreScale(scale, out)) return false;
  for (int i = 0; i < kBlock / 2; ++i) {
    out[2 + i] =
        static_cast<uint8_t>(FourBits(x[i], inverse) | FourBits(x[i + kBlock / 2], inverse) << 4);
  }
  return true;
}

}  // namespace

bool CanQuantizeTo(DType dtype) { return dtype == DType::kQ8_0 || dtype == DType::kQ4_0; }

bool QuantizeBlocks(DType dtype, absl::Span<const float> x, uint8_t* out) {
  CHECK(CanQuantizeTo(dtype) && x.size() % kBlock == 0) << GetDTypeInfo(dtype).name;
  const int block_bytes = GetDTypeInfo(dtype).block_bytes;
  for (size_t i = 0; i < x.size(); i += kBlock, out += block_bytes) {
    const bool is_sound = dtype == DType::kQ8_0 ? QuantizeBlockQ8(x.data() + i, out)
                                                : QuantizeBlockQ4(x.data() + i, out);
    if (!is_sound) return false;
  }
  return true;
}

}  // namespace tandem
