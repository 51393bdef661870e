// Sixteen floats in two AVX2 registers (FMA and F16C are needed too). The same operations as
// vector_avx512.h, which documents them, with the same results bit for bit.
#pragma once

#if defined(__AVX2__)

#include <immintrin.h>

#include <cstdint>

#include "engine/kernels/cpu/transpose_avx2.h"

namespace tandem {

struct Avx2Vector {
  struct F {
    __m256 low, high;
  };
  struct I {
    __m256i low, high;
  };

  // Of 16 registers an accumulator takes two.
  static constexpr int kWeightTile = 2;
  static constexpr int kRowTile = 3;
  static constexpr int kFusedRows = 2;
  static constexpr int kFloatChains = 6;
  static constexpr int kFloatRows = 6;
  static constexpr int kManyRows = 6;
  static constexpr int kManyVectors = 1;
  static constexpr int kFewRows = 3;
  static constexpr int kFewVectors = 2;
  static constexpr bool kFetchWeights = true;
  static constexpr int kQuantChains = 4;

  [[gnu::always_inline]] static F Zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
  [[gnu::always_inline]] static F Set(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
  [[gnu::always_inline]] static F SetHalves(float low, float high) {
    return {_mm256_set1_ps(low), _mm256_set1_ps(high)};
  }
  [[gnu::always_inline]] static F Load(const float* p) {
    return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
  }
  [[gnu::always_inline]] static F LoadPartial(const float* p, int64_t n) {
    return {_mm256_maskload_ps(p, FirstLanes(n)), _mm256_maskload_ps(p + 8, FirstLanes(n - 8))};
  }
  [[gnu::always_inline]] static void Store(float* p, F x) {
    _mm256_storeu_ps(p, x.low);
    _mm256_storeu_ps(p + 8, x.high);
  }
  [[gnu::always_inline]] static void StorePartial(float* p, int64_t n, F x) {
    _mm256_maskstore_ps(p, FirstLanes(n), x.low);
    _mm256_maskstore_ps(p + 8, FirstLanes(n - 8), x.high);
  }

  [[gnu::always_inline]] static F LoadHalf(const uint16_t* p) {
    return {_mm256_cvtph_ps(LoadBytes(p)), _mm256_cvtph_ps(LoadBytes(p + 8))};
  }
  [[gnu::always_inline]] static F LoadHalfPartial(const uint16_t* p, int64_t n) {
    uint16_t padded[16] = {};
    for (int64_t i = 0; i < n; ++i) padded[i] = p[i];
    return LoadHalf(padded);
  }
  [[gnu::always_inline]] static F LoadBFloat16(const uint16_t* p) {
    return {WidenBFloat16(LoadBytes(p)), WidenBFloat16(LoadBytes(p + 8))};
  }
  [[gnu::always_inline]] static F LoadBFloat16Partial(const uint16_t* p, int64_t n) {
    uint16_t padded[16] = {};
    for (int64_t i = 0; i < n; ++i) padded[i] = p[i];
    return LoadBFloat16(padded);
  }
  [[gnu::always_inline]] static void StoreHalf(uint16_t* p, F x) {
    constexpr int kRounding = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(x.low, kRounding));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 8), _mm256_cvtps_ph(x.high, kRounding));
  }
  [[gnu::always_inline]] static float HalfToFloat(uint16_t x) { return _cvtsh_ss(x); }

  [[gnu::always_inline]] static F Add(F a, F b) {
    return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
  }
  [[gnu::always_inline]] static F Sub(F a, F b) {
    return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)};
  }
  [[gnu::always_inline]] static F Mul(F a, F b) {
    return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
  }
  [[gnu::always_inline]] static F Div(F a, F b) {
    return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)};
  }
  [[gnu::always_inline]] static F MulAdd(F a, F b, F c) {
    return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
  }
  [[gnu::always_inline]] static F FusedMulAdd(F a, F b, F c) { return MulAdd(a, b, c); }
  [[gnu::always_inline]] static F Min(F a, F b) {
    return {_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)};
  }
  [[gnu::always_inline]] static F Max(F a, F b) {
    return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)};
  }
  [[gnu::always_inline]] static F SelectLess(F a, F b, F x, F y) {
    return {_mm256_blendv_ps(y.low, x.low, _mm256_cmp_ps(a.low, b.low, _CMP_LT_OQ)),
            _mm256_blendv_ps(y.high, x.high, _mm256_cmp_ps(a.high, b.high, _CMP_LT_OQ))};
  }
  [[gnu::always_inline]] static float Sum(F x) {
    const __m256 half = _mm256_add_ps(x.low, x.high);
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
  [[gnu::always_inline]] static float MaxLane(F x) {
    const __m256 half = _mm256_max_ps(x.low, x.high);
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
  }

  [[gnu::always_inline]] static I LoadUint8(const uint8_t* p) {
    const __m128i bytes = LoadBytes(p);
    return {_mm256_cvtepu8_epi32(bytes), _mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 8))};
  }
  [[gnu::always_inline]] static I LoadInt8(const uint8_t* p) {
    return {_mm256_cvtepi8_epi32(LoadEight(p)), _mm256_cvtepi8_epi32(LoadEight(p + 8))};
  }
  [[gnu::always_inline]] static I SpreadBits(uint16_t bits) {
    const __m256i all = _mm256_set1_epi32(bits);
    const __m256i one = _mm256_set1_epi32(1);
    const __m256i lane = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
    const __m256i high_lane = _mm256_add_epi32(lane, _mm256_set1_epi32(8));
    return {_mm256_and_si256(_mm256_srlv_epi32(all, lane), one),
            _mm256_and_si256(_mm256_srlv_epi32(all, high_lane), one)};
  }
  [[gnu::always_inline]] static I LoadInt(const int32_t* p) {
    return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)),
            _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 8))};
  }
  [[gnu::always_inline]] static I SetInt(int32_t x) {
    return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)};
  }
  [[gnu::always_inline]] static I AddInt(I a, I b) {
    return {_mm256_add_epi32(a.low, b.low), _mm256_add_epi32(a.high, b.high)};
  }
  [[gnu::always_inline]] static I SubInt(I a, I b) {
    return {_mm256_sub_epi32(a.low, b.low), _mm256_sub_epi32(a.high, b.high)};
  }
  [[gnu::always_inline]] static I And(I a, I b) {
    return {_mm256_and_si256(a.low, b.low), _mm256_and_si256(a.high, b.high)};
  }
  [[gnu::always_inline]] static I Or(I a, I b) {
    return {_mm256_or_si256(a.low, b.low), _mm256_or_si256(a.high, b.high)};
  }
  [[gnu::always_inline]] static I ShiftLeft(I x, int n) {
    return {_mm256_slli_epi32(x.low, n), _mm256_slli_epi32(x.high, n)};
  }
  [[gnu::always_inline]] static I ShiftRight(I x, int n) {
    return {_mm256_srli_epi32(x.low, n), _mm256_srli_epi32(x.high, n)};
  }
  [[gnu::always_inline]] static I ShiftRightSigned(I x, int n) {
    return {_mm256_srai_epi32(x.low, n), _mm256_srai_epi32(x.high, n)};
  }
  [[gnu::always_inline]] static F ToFloat(I x) {
    return {_mm256_cvtepi32_ps(x.low), _mm256_cvtepi32_ps(x.high)};
  }
  [[gnu::always_inline]] static I RoundToInt(F x) {
    return {_mm256_cvtps_epi32(x.low), _mm256_cvtps_epi32(x.high)};
  }
  [[gnu::always_inline]] static F Abs(F x) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return {_mm256_andnot_ps(sign, x.low), _mm256_andnot_ps(sign, x.high)};
  }
  [[gnu::always_inline]] static int32_t SumInt(I x) {
    const __m256i half = _mm256_add_epi32(x.low, x.high);
    __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1)));
  }
  [[gnu::always_inline]] static void StoreInt8(int8_t* p, I x) {
    const __m256i low_bytes = _mm256_set1_epi32(0xff);  // so that packing never saturates
    const __m256i words = _mm256_packus_epi32(_mm256_and_si256(x.low, low_bytes),
                                              _mm256_and_si256(x.high, low_bytes));
    const __m256i in_order = _mm256_permute4x64_epi64(words, 0xd8);
    _mm_storeu_si128(
        reinterpret_cast<__m128i*>(p),
        _mm_packus_epi16(_mm256_castsi256_si128(in_order), _mm256_extracti128_si256(in_order, 1)));
  }

  struct Quants {
    __m256i low, high;
  };
  [[gnu::always_inline]] static Quants LoadQuants(const uint8_t* p) {
    return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)),
            _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 32))};
  }
  [[gnu::always_inline]] static void StoreQuants(uint8_t* p, Quants w) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), w.low);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + 32), w.high);
  }
  [[gnu::always_inline]] static Quants QuantBits(Quants w, int shift, int num_bits) {
    const __m256i mask = _mm256_set1_epi8(static_cast<char>((1 << num_bits) - 1));
    if (shift > 0) w = {_mm256_srli_epi16(w.low, shift), _mm256_srli_epi16(w.high, shift)};
    return {_mm256_and_si256(w.low, mask), _mm256_and_si256(w.high, mask)};
  }
  [[gnu::always_inline]] static Quants AddHighBits(Quants low, Quants high) {
    return {_mm256_or_si256(low.low, _mm256_slli_epi16(high.low, 4)),
            _mm256_or_si256(low.high, _mm256_slli_epi16(high.high, 4))};
  }
  // Sums of pairs of products, in 16 bits: two products of 7 bits with 8 fit, 16 of 4 bits with 8.
  static constexpr bool kSplitsBytes = true;
  struct QuantSums {
    __m256i low, high;
  };
  static constexpr int QuantRun(int bits) { return 1 << (7 - bits); }
  [[gnu::always_inline]] static QuantSums NoSums() {
    return {_mm256_setzero_si256(), _mm256_setzero_si256()};
  }
  [[gnu::always_inline]] static QuantSums DotQuants(QuantSums sums, Quants w, const int8_t* x) {
    int32_t four;
    __builtin_memcpy(&four, x, sizeof(four));
    const __m256i x4 = _mm256_set1_epi32(four);
    sums = {_mm256_add_epi16(sums.low, _mm256_maddubs_epi16(w.low, x4)),
            _mm256_add_epi16(sums.high, _mm256_maddubs_epi16(w.high, x4))};
    // gcc would put all products of a block off until it adds them, and spill them till then.
    asm("" : "+x"(sums.low), "+x"(sums.high));
    return sums;
  }
  [[gnu::always_inline]] static I AddSums(I total, QuantSums sums) {
    const __m256i ones = _mm256_set1_epi16(1);
    return {_mm256_add_epi32(total.low, _mm256_madd_epi16(sums.low, ones)),
            _mm256_add_epi32(total.high, _mm256_madd_epi16(sums.high, ones))};
  }

  // 15-bit activations go as 16 bits: as many products an instruction as two planes of 8 have, and
  // sums of 32 bits at once.
  static constexpr bool kWideProducts = true;
  // Columns `part` and part + 2 of each four, as 16 bits.
  [[gnu::always_inline]] static Quants WidenColumns(Quants w, int part) {
    if (part == 1) return {_mm256_srli_epi16(w.low, 8), _mm256_srli_epi16(w.high, 8)};
    const __m256i mask = _mm256_set1_epi16(0xff);
    return {_mm256_and_si256(w.low, mask), _mm256_and_si256(w.high, mask)};
  }
  // Lanes as 16 bits: of each four the order 0, 2, 1, 3, which is that of WidenColumns.
  [[gnu::always_inline]] static void StoreWide(int8_t* p, I x) {
    __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(x.low, x.high), 0xd8);
    words = _mm256_shufflehi_epi16(_mm256_shufflelo_epi16(words, 0xd8), 0xd8);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), words);
  }
  // sums[n] + w[2 n] * x[0] + w[2 n + 1] * x[1], of 16 bits each.
  [[gnu::always_inline]] static I DotWide(I sums, Quants w, const int8_t* x) {
    int32_t two;
    __builtin_memcpy(&two, x, sizeof(two));
    const __m256i x2 = _mm256_set1_epi32(two);
    sums = {_mm256_add_epi32(sums.low, _mm256_madd_epi16(w.low, x2)),
            _mm256_add_epi32(sums.high, _mm256_madd_epi16(w.high, x2))};
    asm("" : "+x"(sums.low), "+x"(sums.high));  // as in DotQuants
    return sums;
  }

  [[gnu::always_inline]] static I BitsOf(F x) {
    return {_mm256_castps_si256(x.low), _mm256_castps_si256(x.high)};
  }
  [[gnu::always_inline]] static F FromBits(I x) {
    return {_mm256_castsi256_ps(x.low), _mm256_castsi256_ps(x.high)};
  }

  [[gnu::always_inline]] static F ScaleFourBits(I q, F scale, F min) {
    return MulAdd(ToFloat(And(q, SetInt(15))), scale, min);
  }

  [[gnu::always_inline]] static void Transpose(F (&rows)[16]) {
    __m256 top_left[8], top_right[8], bottom_left[8], bottom_right[8];
    for (int i = 0; i < 8; ++i) {
      top_left[i] = rows[i].low;
      top_right[i] = rows[i].high;
      bottom_left[i] = rows[8 + i].low;
      bottom_right[i] = rows[8 + i].high;
    }
    Transpose8(top_left);
    Transpose8(top_right);
    Transpose8(bottom_left);
    Transpose8(bottom_right);
    for (int i = 0; i < 8; ++i) {
      rows[i] = {top_left[i], bottom_left[i]};
      rows[8 + i] = {top_right[i], bottom_right[i]};
    }
  }

  [[gnu::always_inline]] static void TransposeHalves(const uint8_t* const* rows, int64_t offset,
                                                     uint8_t* out) {
    TransposeTwoBytes(rows, offset, out);
  }
  [[gnu::always_inline]] static void TransposeBytes(const uint8_t* const* rows, int64_t offset,
                                                    uint8_t* out) {
    TransposeOneByte(rows, offset, out);
  }

 private:
  [[gnu::always_inline]] static __m128i LoadBytes(const void* p) {
    return _mm_loadu_si128(static_cast<const __m128i*>(p));
  }
  [[gnu::always_inline]] static __m128i LoadEight(const void* p) {
    return _mm_loadl_epi64(static_cast<const __m128i*>(p));
  }
  // All ones in lanes below n; n may lie outside [0, 8].
  [[gnu::always_inline]] static __m256i FirstLanes(int64_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int32_t>(n)),
                              _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0));
  }
  [[gnu::always_inline]] static __m256 WidenBFloat16(__m128i x) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(x), 16));
  }
  [[gnu::always_inline]] static void Transpose8(__m256 (&rows)[8]) {
    __m256 pairs[8], fours[8];
    for (int i = 0; i < 8; i += 2) {
      pairs[i] = _mm256_unpacklo_ps(rows[i], rows[i + 1]);
      pairs[i + 1] = _mm256_unpackhi_ps(rows[i], rows[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
      for (int j = 0; j < 2; ++j) {
        fours[i + 2 * j] = _mm256_shuffle_ps(pairs[i + j], pairs[i + 2 + j], 0x44);
        fours[i + 2 * j + 1] = _mm256_shuffle_ps(pairs[i + j], pairs[i + 2 + j], 0xee);
      }
    }
    for (int i = 0; i < 4; ++i) {
      rows[i] = _mm256_permute2f128_ps(fours[i], fours[4 + i], 0x20);
      rows[4 + i] = _mm256_permute2f128_ps(fours[i], fours[4 + i], 0x31);
    }
  }
};

}  // namespace tandem

#endif  // __AVX2__
