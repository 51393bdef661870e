// Sixteen floats in the vector extension of GCC and Clang, which they turn into whatever registers
// the target has. The same operations as vector_avx512.h, which documents them; MulAdd rounds
// twice, so results differ from it in their last bits.
#pragma once

#include <cstdint>

#include "engine/tensor/float16.h"

namespace tandem {

struct PortableVector {
  using F = float __attribute__((vector_size(64)));
  using I = int32_t __attribute__((vector_size(64)));

  // Of 16 registers of 4 floats, as x86-64 has at least, an accumulator takes four.
  static constexpr int kWeightTile = 1;
  static constexpr int kRowTile = 2;
  static constexpr int kFusedRows = 2;
  static constexpr int kFloatChains = 3;
  static constexpr int kFloatRows = 3;
  static constexpr int kManyRows = 2;
  static constexpr int kManyVectors = 1;
  static constexpr int kFewRows = 2;
  static constexpr int kFewVectors = 1;
  static constexpr bool kFetchWeights = false;
  static constexpr int kQuantChains = 2;

  [[gnu::always_inline]] static F Zero() { return F{}; }
  [[gnu::always_inline]] static F Set(float x) {
    return F{x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x};
  }
  [[gnu::always_inline]] static F SetHalves(float low, float high) {
    return F{low,  low,  low,  low,  low,  low,  low,  low,
             high, high, high, high, high, high, high, high};
  }
  [[gnu::always_inline]] static F Load(const float* p) {
    F x;
    __builtin_memcpy(&x, p, sizeof(x));
    return x;
  }
  [[gnu::always_inline]] static F LoadPartial(const float* p, int64_t n) {
    F x{};
    for (int64_t i = 0; i < n; ++i) x[i] = p[i];
    return x;
  }
  [[gnu::always_inline]] static void Store(float* p, F x) { __builtin_memcpy(p, &x, sizeof(x)); }
  [[gnu::always_inline]] static void StorePartial(float* p, int64_t n, F x) {
    for (int64_t i = 0; i < n; ++i) p[i] = x[i];
  }

  static F LoadHalf(const uint16_t* p) { return LoadHalfPartial(p, 16); }
  static F LoadHalfPartial(const uint16_t* p, int64_t n) {
    F x{};
    for (int64_t i = 0; i < n; ++i) x[i] = FloatFromHalf(p[i]);
    return x;
  }
  static F LoadBFloat16(const uint16_t* p) { return LoadBFloat16Partial(p, 16); }
  static F LoadBFloat16Partial(const uint16_t* p, int64_t n) {
    F x{};
    for (int64_t i = 0; i < n; ++i) x[i] = FloatFromBFloat16(p[i]);
    return x;
  }
  static void StoreHalf(uint16_t* p, F x) {
    for (int i = 0; i < 16; ++i) p[i] = HalfFromFloat(x[i]);
  }
  static float HalfToFloat(uint16_t x) { return FloatFromHalf(x); }

  [[gnu::always_inline]] static F Add(F a, F b) { return a + b; }
  [[gnu::always_inline]] static F Sub(F a, F b) { return a - b; }
  [[gnu::always_inline]] static F Mul(F a, F b) { return a * b; }
  [[gnu::always_inline]] static F Div(F a, F b) { return a / b; }
  [[gnu::always_inline]] static F MulAdd(F a, F b, F c) { return a * b + c; }
  static F FusedMulAdd(F a, F b, F c) {
    for (int i = 0; i < 16; ++i) c[i] = __builtin_fmaf(a[i], b[i], c[i]);
    return c;
  }
  [[gnu::always_inline]] static F Min(F a, F b) { return a < b ? a : b; }
  [[gnu::always_inline]] static F Max(F a, F b) { return a > b ? a : b; }
  [[gnu::always_inline]] static F SelectLess(F a, F b, F x, F y) { return a < b ? x : y; }
  static float Sum(F x) {
    for (int apart = 8; apart > 0; apart /= 2) {
      for (int i = 0; i < apart; ++i) x[i] += x[i + apart];
    }
    return x[0];
  }
  static float MaxLane(F x) {
    float max = x[0];
    for (int i = 1; i < 16; ++i) max = max > x[i] ? max : x[i];
    return max;
  }

  [[gnu::always_inline]] static I LoadUint8(const uint8_t* p) { return Convert<int32_t, I>(p); }
  [[gnu::always_inline]] static I LoadInt8(const uint8_t* p) {
    return Convert<int32_t, I>(reinterpret_cast<const int8_t*>(p));
  }
  [[gnu::always_inline]] static I SpreadBits(uint16_t bits) {
    const I lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return (SetInt(bits) >> lane) & 1;
  }
  [[gnu::always_inline]] static I LoadInt(const int32_t* p) {
    I x;
    __builtin_memcpy(&x, p, sizeof(x));
    return x;
  }
  [[gnu::always_inline]] static I SetInt(int32_t x) { return I{} + x; }
  [[gnu::always_inline]] static I AddInt(I a, I b) {
    return reinterpret_cast<I>(Bits(a) + Bits(b));
  }
  [[gnu::always_inline]] static I SubInt(I a, I b) {
    return reinterpret_cast<I>(Bits(a) - Bits(b));
  }
  [[gnu::always_inline]] static I And(I a, I b) { return a & b; }
  [[gnu::always_inline]] static I Or(I a, I b) { return a | b; }
  [[gnu::always_inline]] static I ShiftLeft(I x, int n) {
    return reinterpret_cast<I>(Bits(x) << n);
  }
  [[gnu::always_inline]] static I ShiftRight(I x, int n) {
    return reinterpret_cast<I>(Bits(x) >> n);
  }
  [[gnu::always_inline]] static I ShiftRightSigned(I x, int n) { return x >> n; }
  [[gnu::always_inline]] static F ToFloat(I x) {
    int32_t lanes[16];
    __builtin_memcpy(lanes, &x, sizeof(x));
    return Convert<float, F>(lanes);
  }
  // Adding 1.5 * 2^23 leaves no room for a fraction; for |x| < 2^22.
  [[gnu::always_inline]] static I RoundToInt(F x) {
    const F magic = Set(12582912.0f);
    return SubInt(BitsOf(x + magic), BitsOf(magic));
  }
  [[gnu::always_inline]] static F Abs(F x) { return FromBits(BitsOf(x) & 0x7fffffff); }
  static int32_t SumInt(I x) {
    uint32_t sum = 0;
    for (int i = 0; i < 16; ++i) sum += static_cast<uint32_t>(x[i]);
    return static_cast<int32_t>(sum);
  }
  static void StoreInt8(int8_t* p, I x) {
    for (int i = 0; i < 16; ++i) p[i] = static_cast<int8_t>(x[i] & 0xff);
  }

  using Quants [[gnu::vector_size(64)]] = uint8_t;
  [[gnu::always_inline]] static Quants LoadQuants(const uint8_t* p) {
    Quants w;
    __builtin_memcpy(&w, p, sizeof(w));
    return w;
  }
  [[gnu::always_inline]] static void StoreQuants(uint8_t* p, Quants w) {
    __builtin_memcpy(p, &w, sizeof(w));
  }
  static constexpr bool kSplitsBytes = false;
  static constexpr bool kWideProducts = false;
  // A scalar operand would do, but gcc 12 takes it for an int where it instruments shifts.
  [[gnu::always_inline]] static Quants EveryByte(int x) {
    Quants bytes;
    __builtin_memset(&bytes, x, sizeof(bytes));
    return bytes;
  }
  [[gnu::always_inline]] static Quants QuantBits(Quants w, int shift, int num_bits) {
    return w >> EveryByte(shift) & EveryByte((1 << num_bits) - 1);
  }
  [[gnu::always_inline]] static Quants AddHighBits(Quants low, Quants high) {
    return low | high << EveryByte(4);
  }
  using QuantSums = I;
  static constexpr int QuantRun(int bits) { return 8; }
  [[gnu::always_inline]] static QuantSums NoSums() { return SetInt(0); }
  static QuantSums DotQuants(QuantSums sums, Quants w, const int8_t* x) {
    int32_t lanes[16];
    for (int n = 0; n < 16; ++n) {
      lanes[n] = w[4 * n] * x[0] + w[4 * n + 1] * x[1] + w[4 * n + 2] * x[2] + w[4 * n + 3] * x[3];
    }
    I products;
    __builtin_memcpy(&products, lanes, sizeof(products));
    return AddInt(sums, products);
  }
  [[gnu::always_inline]] static I AddSums(I total, QuantSums sums) { return AddInt(total, sums); }

  [[gnu::always_inline]] static I BitsOf(F x) { return reinterpret_cast<I>(x); }
  [[gnu::always_inline]] static F FromBits(I x) { return reinterpret_cast<F>(x); }

  [[gnu::always_inline]] static F ScaleFourBits(I q, F scale, F min) {
    return MulAdd(ToFloat(q & 15), scale, min);
  }

  static void Transpose(F (&rows)[16]) {
    for (int i = 0; i < 16; ++i) {
      for (int j = 0; j < i; ++j) {
        const float x = rows[i][j];
        rows[i][j] = rows[j][i];
        rows[j][i] = x;
      }
    }
  }

  static void TransposeHalves(const uint8_t* const* rows, int64_t offset, uint8_t* out) {
    for (int d = 0; d < 8; ++d) {
      for (int i = 0; i < 16; ++i)
        __builtin_memcpy(out + 32 * d + 2 * i, rows[i] + offset + 2 * d, 2);
    }
  }
  static void TransposeBytes(const uint8_t* const* rows, int64_t offset, uint8_t* out) {
    for (int d = 0; d < 16; ++d) {
      for (int i = 0; i < 16; ++i) out[16 * d + i] = rows[i][offset + d];
    }
  }

 private:
  // Unsigned, because integers of vector instructions wrap around.
  using U = uint32_t __attribute__((vector_size(64)));
  // A plain loop: gcc 12 converts long vectors lane by lane, but vectorises loops over arrays.
  template <typename Lane, typename To, typename From>
  [[gnu::always_inline]] static To Convert(const From* p) {
    Lane lanes[16];
    for (int i = 0; i < 16; ++i) lanes[i] = static_cast<Lane>(p[i]);
    To x;
    __builtin_memcpy(&x, lanes, sizeof(x));
    return x;
  }
  [[gnu::always_inline]] static U Bits(I x) { return reinterpret_cast<U>(x); }
};

}  // namespace tandem
