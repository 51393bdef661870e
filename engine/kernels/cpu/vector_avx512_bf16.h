// AVX-512 with products of pairs of BF16 (AVX512_BF16).
#pragma once

#if defined(__AVX512BF16__)

#include "engine/kernels/cpu/vector_avx512.h"

namespace tandem {

struct Avx512Bf16Vector : Avx512Vector {
  // Two columns of 16 rows of weights.
  using Pairs = __m512i;
  [[gnu::always_inline]] static Pairs LoadPairs(const uint16_t* p) { return _mm512_loadu_si512(p); }
  // sums[n] + w[2 n + 1] * x[1] + w[2 n] * x[0], each product added with one rounding.
  [[gnu::always_inline]] static F DotPairs(F sums, Pairs w, const uint16_t* x) {
    int32_t pair;
    __builtin_memcpy(&pair, x, sizeof(pair));
    return _mm512_dpbf16_ps(sums, (__m512bh)w, (__m512bh)_mm512_set1_epi32(pair));
  }
};

}  // namespace tandem

#endif  // __AVX512BF16__
