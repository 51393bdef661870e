// Random activations and weights for the kernels' tests: fixed seeds, every bit pattern of a
// quantised block that a file could hold except scales that are not finite.
#pragma once

#include <cstring>
#include <random>
#include <utility>
#include <vector>

#include "engine/tensor/float16.h"
#include "engine/tensor/tensor.h"

namespace tandem {

inline constexpr DType kAllDTypes[] = {DType::kF32,  DType::kF16,  DType::kBF16, DType::kQ4_0,
                                       DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ8_0,
                                       DType::kQ4_K, DType::kQ5_K, DType::kQ6_K};
inline constexpr DType kKvDTypes[] = {DType::kF32, DType::kF16, DType::kBF16, DType::kI8};

inline std::vector<float> RandomFloats(int64_t size, uint32_t seed, float scale = 1.0f) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(-scale, scale);
  std::vector<float> values(size);
  for (float& value : values) value = uniform(random);
  return values;
}

// A matrix that owns its bytes.
struct RandomMatrix {
  std::vector<uint8_t> bytes;
  MatrixView view;

  RandomMatrix(DType dtype, int64_t rows, int64_t cols, uint32_t seed) {
    view = {.data = nullptr, .dtype = dtype, .rows = rows, .cols = cols};
    bytes.resize(view.Bytes());
    view.data = bytes.data();
    std::mt19937 random(seed);
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());

    const int block_bytes = GetDTypeInfo(dtype).block_bytes;
    std::uniform_real_distribution<float> uniform(-0.1f, 0.1f);
    for (size_t block = 0; block < bytes.size(); block += block_bytes) {
      uint8_t* p = bytes.data() + block;
      const float value = uniform(random);
      const uint16_t half = HalfFromFloat(value), other = HalfFromFloat(uniform(random));
      const uint16_t brain = BFloat16FromFloat(value);
      switch (dtype) {
        case DType::kF32:
          std::memcpy(p, &value, sizeof(value));
          break;
        case DType::kBF16:
          std::memcpy(p, &brain, sizeof(brain));
          break;
        case DType::kQ6_K:
          std::memcpy(p + 208, &half, sizeof(half));
          break;
        case DType::kQ4_1:
        case DType::kQ5_1:
        case DType::kQ4_K:
        case DType::kQ5_K:
          std::memcpy(p + 2, &other, sizeof(other));
          [[fallthrough]];
        default:
          std::memcpy(p, &half, sizeof(half));
      }
    }
  }
  RandomMatrix(const RandomMatrix&) = delete;
  RandomMatrix& operator=(const RandomMatrix&) = delete;
};

}  // namespace tandem
