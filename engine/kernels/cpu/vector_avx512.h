// Sixteen floats in one AVX-512 register (F, BW, DQ, VL and F16C are needed). The other
// vector_*.h files offer the same operations; kernels are templates over them.
#pragma once

#if defined(__AVX512F__)

#include <immintrin.h>

#include <cstdint>

#include "engine/kernels/cpu/transpose_avx2.h"

namespace tandem {

struct Avx512Vector {
  using F = __m512;   // 16 floats
  using I = __m512i;  // 16 32-bit integers

  // Register tiles, of 32 registers: kWeightTile x kRowTile accumulators in products of matrices;
  // kFusedRows while weights are decoded in registers too; in attention kManyRows x kManyVectors,
  // and kFewRows x kFewVectors while keys and values are decoded in registers too.
  static constexpr int kWeightTile = 4;
  static constexpr int kRowTile = 6;
  static constexpr int kFusedRows = 4;
  static constexpr int kFloatChains = 24;
  static constexpr int kFloatRows = 12;
  static constexpr int kManyRows = 6;
  static constexpr int kManyVectors = 4;
  static constexpr int kFewRows = 4;
  static constexpr int kFewVectors = 4;
  static constexpr bool kFetchWeights = false;
  static constexpr int kQuantChains = 8;

  [[gnu::always_inline]] static F Zero() { return _mm512_setzero_ps(); }
  [[gnu::always_inline]] static F Set(float x) { return _mm512_set1_ps(x); }
  // Eight lanes of each.
  [[gnu::always_inline]] static F SetHalves(float low, float high) {
    return _mm512_insertf32x8(_mm512_set1_ps(low), _mm256_set1_ps(high), 1);
  }
  [[gnu::always_inline]] static F Load(const float* p) { return _mm512_loadu_ps(p); }
  // The first n of 16, 0 <= n <= 16; the rest are 0 and not read.
  [[gnu::always_inline]] static F LoadPartial(const float* p, int64_t n) {
    return _mm512_maskz_loadu_ps(FirstLanes(n), p);
  }
  [[gnu::always_inline]] static void Store(float* p, F x) { _mm512_storeu_ps(p, x); }
  [[gnu::always_inline]] static void StorePartial(float* p, int64_t n, F x) {
    _mm512_mask_storeu_ps(p, FirstLanes(n), x);
  }

  [[gnu::always_inline]] static F LoadHalf(const uint16_t* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  [[gnu::always_inline]] static F LoadHalfPartial(const uint16_t* p, int64_t n) {
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(FirstLanes(n), p));
  }
  [[gnu::always_inline]] static F LoadBFloat16(const uint16_t* p) {
    return WidenBFloat16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  [[gnu::always_inline]] static F LoadBFloat16Partial(const uint16_t* p, int64_t n) {
    return WidenBFloat16(_mm256_maskz_loadu_epi16(FirstLanes(n), p));
  }
  // Rounds to nearest even.
  [[gnu::always_inline]] static void StoreHalf(uint16_t* p, F x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                        _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  [[gnu::always_inline]] static float HalfToFloat(uint16_t x) { return _cvtsh_ss(x); }

  [[gnu::always_inline]] static F Add(F a, F b) { return _mm512_add_ps(a, b); }
  [[gnu::always_inline]] static F Sub(F a, F b) { return _mm512_sub_ps(a, b); }
  [[gnu::always_inline]] static F Mul(F a, F b) { return _mm512_mul_ps(a, b); }
  [[gnu::always_inline]] static F Div(F a, F b) { return _mm512_div_ps(a, b); }
  // Rounds once, or on a machine without the instruction twice.
  [[gnu::always_inline]] static F MulAdd(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  // Rounds once, everywhere.
  [[gnu::always_inline]] static F FusedMulAdd(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  // b where either is NaN.
  [[gnu::always_inline]] static F Min(F a, F b) { return _mm512_min_ps(a, b); }
  [[gnu::always_inline]] static F Max(F a, F b) { return _mm512_max_ps(a, b); }
  // a < b ? x : y, lane by lane; y where a or b is NaN.
  [[gnu::always_inline]] static F SelectLess(F a, F b, F x, F y) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), y, x);
  }
  // Adds lanes 8, 4, 2 and 1 apart, in this order.
  [[gnu::always_inline]] static float Sum(F x) {
    const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
  [[gnu::always_inline]] static float MaxLane(F x) { return _mm512_reduce_max_ps(x); }

  // 16 bytes, widened.
  [[gnu::always_inline]] static I LoadUint8(const uint8_t* p) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  [[gnu::always_inline]] static I LoadInt8(const uint8_t* p) {
    return _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  // Bit i of `bits` as 0 or 1 in lane i.
  [[gnu::always_inline]] static I SpreadBits(uint16_t bits) {
    return _mm512_maskz_set1_epi32(bits, 1);
  }
  [[gnu::always_inline]] static I LoadInt(const int32_t* p) { return _mm512_loadu_si512(p); }
  [[gnu::always_inline]] static I SetInt(int32_t x) { return _mm512_set1_epi32(x); }
  [[gnu::always_inline]] static I AddInt(I a, I b) { return _mm512_add_epi32(a, b); }
  [[gnu::always_inline]] static I SubInt(I a, I b) { return _mm512_sub_epi32(a, b); }
  [[gnu::always_inline]] static I And(I a, I b) { return _mm512_and_si512(a, b); }
  [[gnu::always_inline]] static I Or(I a, I b) { return _mm512_or_si512(a, b); }
  [[gnu::always_inline]] static I ShiftLeft(I x, int n) {
    return _mm512_sll_epi32(x, _mm_cvtsi32_si128(n));
  }
  [[gnu::always_inline]] static I ShiftRight(I x, int n) {
    return _mm512_srl_epi32(x, _mm_cvtsi32_si128(n));
  }
  [[gnu::always_inline]] static I ShiftRightSigned(I x, int n) {
    return _mm512_sra_epi32(x, _mm_cvtsi32_si128(n));
  }
  [[gnu::always_inline]] static F ToFloat(I x) { return _mm512_cvtepi32_ps(x); }
  // To nearest even; anything for what is no int32_t.
  [[gnu::always_inline]] static I RoundToInt(F x) { return _mm512_cvtps_epi32(x); }
  [[gnu::always_inline]] static F Abs(F x) { return _mm512_abs_ps(x); }
  [[gnu::always_inline]] static int32_t SumInt(I x) { return _mm512_reduce_add_epi32(x); }
  // The low byte of each lane.
  [[gnu::always_inline]] static void StoreInt8(int8_t* p, I x) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(x));
  }

  // Quants of packed weights: 64 unsigned bytes, four for each of 16 rows.
  using Quants = __m512i;
  [[gnu::always_inline]] static Quants LoadQuants(const uint8_t* p) {
    return _mm512_loadu_si512(p);
  }
  [[gnu::always_inline]] static void StoreQuants(uint8_t* p, Quants w) {
    _mm512_storeu_si512(p, w);
  }
  static constexpr bool kSplitsBytes = false;
  static constexpr bool kWideProducts = false;
  // The num_bits < 8 bits of each byte from bit `shift` on.
  [[gnu::always_inline]] static Quants QuantBits(Quants w, int shift, int num_bits) {
    const __m512i mask = _mm512_set1_epi8(static_cast<char>((1 << num_bits) - 1));
    return _mm512_and_si512(shift > 0 ? _mm512_srli_epi16(w, shift) : w, mask);
  }
  // low | high << 4, for bytes below 16.
  [[gnu::always_inline]] static Quants AddHighBits(Quants low, Quants high) {
    return _mm512_or_si512(low, _mm512_slli_epi16(high, 4));
  }
  // Sums of QuantRun products of quants with activations, of 16 rows.
  using QuantSums = I;
  static constexpr int QuantRun(int bits) { return 8; }
  [[gnu::always_inline]] static QuantSums NoSums() { return _mm512_setzero_si512(); }
  // sums[n] + sum_{i < 4} w[4 n + i] * x[i].
  [[gnu::always_inline]] static QuantSums DotQuants(QuantSums sums, Quants w, const int8_t* x) {
    int32_t four;
    __builtin_memcpy(&four, x, sizeof(four));
    return _mm512_dpbusd_epi32(sums, w, _mm512_set1_epi32(four));
  }
  [[gnu::always_inline]] static I AddSums(I total, QuantSums sums) {
    return _mm512_add_epi32(total, sums);
  }
  [[gnu::always_inline]] static I BitsOf(F x) { return _mm512_castps_si512(x); }
  [[gnu::always_inline]] static F FromBits(I x) { return _mm512_castsi512_ps(x); }

  // (q & 15) * scale + min: looks the 16 possible values up, which are the same for a whole block.
  [[gnu::always_inline]] static F ScaleFourBits(I q, F scale, F min) {
    const F digits = _mm512_set_ps(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    return _mm512_permutexvar_ps(q, _mm512_fmadd_ps(digits, scale, min));
  }

  // Row i becomes column i.
  [[gnu::always_inline]] static void Transpose(F (&rows)[16]) {
    F t[16];
#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2) {  // 2 x 2 blocks
      t[i] = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
      t[i + 1] = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) {  // 4 x 4 blocks inside each 128-bit lane
      for (int j = 0; j < 2; ++j) {
        const __m512d a = _mm512_castps_pd(t[i + j]), b = _mm512_castps_pd(t[i + 2 + j]);
        rows[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
        rows[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {  // then the 128-bit lanes among four groups of rows
      const F a = _mm512_shuffle_f32x4(rows[i], rows[4 + i], 0x88);
      const F b = _mm512_shuffle_f32x4(rows[i], rows[4 + i], 0xdd);
      const F c = _mm512_shuffle_f32x4(rows[8 + i], rows[12 + i], 0x88);
      const F d = _mm512_shuffle_f32x4(rows[8 + i], rows[12 + i], 0xdd);
      t[i] = _mm512_shuffle_f32x4(a, c, 0x88);
      t[4 + i] = _mm512_shuffle_f32x4(b, d, 0x88);
      t[8 + i] = _mm512_shuffle_f32x4(a, c, 0xdd);
      t[12 + i] = _mm512_shuffle_f32x4(b, d, 0xdd);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) rows[i] = t[i];
  }

  // out[d][i] = rows[i][d] for 8 columns of 2 bytes, or 16 of one, `offset` bytes into the rows.
  [[gnu::always_inline]] static void TransposeHalves(const uint8_t* const* rows, int64_t offset,
                                                     uint8_t* out) {
    TransposeTwoBytes(rows, offset, out);
  }
  [[gnu::always_inline]] static void TransposeBytes(const uint8_t* const* rows, int64_t offset,
                                                    uint8_t* out) {
    TransposeOneByte(rows, offset, out);
  }

 private:
  [[gnu::always_inline]] static __mmask16 FirstLanes(int64_t n) {
    return static_cast<__mmask16>((1u << n) - 1);
  }
  [[gnu::always_inline]] static F WidenBFloat16(__m256i x) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16));
  }
};

}  // namespace tandem

#endif  // __AVX512F__
