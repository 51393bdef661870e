// Weights as they are stored, decoded 16 at a time into registers.
//
// WeightBlock<V, D> looks at one block of a row: kSize elements in kBytes bytes. Load() reads what
// its elements share (scales), Part(i) returns elements [16 i, 16 i + 16). Every path that reads a
// weight goes through Part, so a weight has one float value per instruction set. The layouts are
// those of GGUF; K types group 256 elements into sub-blocks of 16 or 32, whose scales are quantised
// in turn.
//
// Scales are 16-bit floats, so scale * quant has at most 24 significant bits: a fused multiply-add
// of "quant * scale + offset" rounds once and equals (quant - zero) * scale.
#pragma once

#include <cstdint>

#include "engine/core/dtype.h"

namespace tandem {

template <typename V, DType D>
struct WeightBlock;

template <typename V>
[[gnu::always_inline]] inline float ReadHalf(const uint8_t* p) {
  uint16_t half;
  __builtin_memcpy(&half, p, sizeof(half));
  return V::HalfToFloat(half);
}

template <typename V>
[[gnu::always_inline]] inline typename V::F LoadScale(const uint8_t* p) {
  return V::Set(ReadHalf<V>(p));
}

// Plain types: a "block" is one register; Tail reads the last n < 16 elements of a row, then 0.
template <typename V>
struct WeightBlock<V, DType::kF32> {
  static constexpr int kSize = 16, kBytes = 64;
  const float* data;
  [[gnu::always_inline]] void Load(const uint8_t* p) { data = reinterpret_cast<const float*>(p); }
  [[gnu::always_inline]] typename V::F Part(int) const { return V::Load(data); }
  [[gnu::always_inline]] static typename V::F Tail(const uint8_t* p, int64_t n) {
    return V::LoadPartial(reinterpret_cast<const float*>(p), n);
  }
};

template <typename V>
struct WeightBlock<V, DType::kF16> {
  static constexpr int kSize = 16, kBytes = 32;
  const uint16_t* data;
  [[gnu::always_inline]] void Load(const uint8_t* p) {
    data = reinterpret_cast<const uint16_t*>(p);
  }
  [[gnu::always_inline]] typename V::F Part(int) const { return V::LoadHalf(data); }
  [[gnu::always_inline]] static typename V::F Tail(const uint8_t* p, int64_t n) {
    return V::LoadHalfPartial(reinterpret_cast<const uint16_t*>(p), n);
  }
};

template <typename V>
struct WeightBlock<V, DType::kBF16> {
  static constexpr int kSize = 16, kBytes = 32;
  const uint16_t* data;
  [[gnu::always_inline]] void Load(const uint8_t* p) {
    data = reinterpret_cast<const uint16_t*>(p);
  }
  [[gnu::always_inline]] typename V::F Part(int) const { return V::LoadBFloat16(data); }
  [[gnu::always_inline]] static typename V::F Tail(const uint8_t* p, int64_t n) {
    return V::LoadBFloat16Partial(reinterpret_cast<const uint16_t*>(p), n);
  }
};

// scale, 32 signed bytes: scale * q
template <typename V>
struct WeightBlock<V, DType::kQ8_0> {
  static constexpr int kSize = 32, kBytes = 34;
  typename V::F scale;
  const uint8_t* quants;
  [[gnu::always_inline]] void Load(const uint8_t* p) {
    scale = LoadScale<V>(p);
    quants = p + 2;
  }
  [[gnu::always_inline]] typename V::F Part(int part) const {
    return V::Mul(V::ToFloat(V::LoadInt8(quants + 16 * part)), scale);
  }
};

// The four types with 32 elements and 4 or 5 bits. 16 bytes hold the low 4 bits: elements 0..15 in
// their low halves, 16..31 in their high halves. Value: scale * q + offset.
template <typename V>
struct FourBitBlock {
  static constexpr int kSize = 32;
  typename V::F scale, offset;
  typename V::I quants;
  [[gnu::always_inline]] typename V::F Part(int part) const {
    return V::ScaleFourBits(part == 0 ? quants : V::ShiftRight(quants, 4), scale, offset);
  }
};

// scale, quants: scale * (q - 8)
template <typename V>
struct WeightBlock<V, DType::kQ4_0> : FourBitBlock<V> {
  static constexpr int kBytes = 18;
  [[gnu::always_inline]] void Load(const uint8_t* p) {
    this->scale = LoadScale<V>(p);
    this->offset = V::Mul(this->scale, V::Set(-8.0f));
    this->quants = V::LoadUint8(p + 2);
  }
};

// scale, minimum, quants: scale * q + minimum
template <typename V>
struct WeightBlock<V, DType::kQ4_1> : FourBitBlock<V> {
  static constexpr int kBytes = 20;
  [[gnu::always_inline]] void Load(const uint8_t* p) {
    this->scale = LoadScale<V>(p);
    this->offset = LoadScale<V>(p + 2);
    this->quants = V::LoadUint8(p + 4);
  }
};

// The fifth bit of element i is bit i of a 32-bit word.
template <typename V>
struct FiveBitBlock {
  static constexpr int kSize = 32;
  typename V::F scale, offset;
  typename V::I quants;
  uint16_t high_bits[2];
  [[gnu::always_inline]] typename V::F Part(int part) const {
    const auto low = V::And(part == 0 ? quants : V::ShiftRight(quants, 4), V::SetInt(15));
    const auto high = V::ShiftLeft(V::SpreadBits(high_bits[part]), 4);
    return V::MulAdd(V::ToFloat(V::Or(low, high)), scale, offset);
  }
};

// scale, high bits, quants: scale * (q - 16)
template <typename V>
struct WeightBlock<V, DType::kQ5_0> : FiveBitBlock<V> {
  static constexpr int kBytes = 22;
  [[gnu::always_inline]] void Load(const uint8_t* p) {
    this->scale = LoadScale<V>(p);
    this->offset = V::Mul(this->scale, V::Set(-16.0f));
    __builtin_memcpy(this->high_bits, p + 2, 4);
    this->quants = V::LoadUint8(p + 6);
  }
};

// scale, minimum, high bits, quants: scale * q + minimum
template <typename V>
struct WeightBlock<V, DType::kQ5_1> : FiveBitBlock<V> {
  static constexpr int kBytes = 24;
  [[gnu::always_inline]] void Load(const uint8_t* p) {
    this->scale = LoadScale<V>(p);
    this->offset = LoadScale<V>(p + 2);
    __builtin_memcpy(this->high_bits, p + 4, 4);
    this->quants = V::LoadUint8(p + 8);
  }
};

// What Q4_K and Q5_K share: 8 sub-blocks of 32 with a 6-bit scale and minimum each, both scaled by
// 16-bit floats. Value: scale[sub] * q - minimum[sub].
template <typename V>
struct SubBlockScales {
  alignas(64) float values[16];  // 8 scales, then 8 negated minimums

  // p: scale and minimum of the block, then the twelve bytes of packed 6-bit numbers. Bytes 0..3
  // and 4..7 hold scales and minimums 0..3 in their low 6 bits; the low and high halves of bytes
  // 8..11 are the low 4 bits of numbers 4..7, whose top 2 bits are those of bytes 0..7.
  [[gnu::always_inline]] void Load(const uint8_t* p) {
    uint32_t packed[3];
    __builtin_memcpy(packed, p + 4, sizeof(packed));
    const uint32_t six_bits[4] = {
        packed[0] & 0x3f3f3f3f,
        (packed[2] & 0x0f0f0f0f) | ((packed[0] >> 2) & 0x30303030),
        packed[1] & 0x3f3f3f3f,
        ((packed[2] >> 4) & 0x0f0f0f0f) | ((packed[1] >> 2) & 0x30303030),
    };
    uint8_t bytes[16];
    __builtin_memcpy(bytes, six_bits, sizeof(bytes));
    const auto factors = V::SetHalves(ReadHalf<V>(p), -ReadHalf<V>(p + 2));
    V::Store(values, V::Mul(V::ToFloat(V::LoadUint8(bytes)), factors));
  }
  [[gnu::always_inline]] typename V::F Scale(int sub) const { return V::Set(values[sub]); }
  [[gnu::always_inline]] typename V::F Offset(int sub) const { return V::Set(values[8 + sub]); }
};

// Sub-blocks 2i and 2i + 1 share 32 bytes: low halves, then high halves.
template <typename V>
struct WeightBlock<V, DType::kQ4_K> {
  static constexpr int kSize = 256, kBytes = 144;
  SubBlockScales<V> scales;
  const uint8_t* quants;
  [[gnu::always_inline]] void Load(const uint8_t* p) {
    scales.Load(p);
    quants = p + 16;
  }
  [[gnu::always_inline]] typename V::F Part(int part) const {
    const int sub = part / 2;
    const auto bytes = V::LoadUint8(quants + sub / 2 * 32 + part % 2 * 16);
    return V::ScaleFourBits(V::ShiftRight(bytes, sub % 2 * 4), scales.Scale(sub),
                            scales.Offset(sub));
  }
};

// As Q4_K; the fifth bit of element i of sub-block s is bit s of byte i of 32.
template <typename V>
struct WeightBlock<V, DType::kQ5_K> {
  static constexpr int kSize = 256, kBytes = 176;
  SubBlockScales<V> scales;
  const uint8_t* high_bits;
  const uint8_t* quants;
  [[gnu::always_inline]] void Load(const uint8_t* p) {
    scales.Load(p);
    high_bits = p + 16;
    quants = p + 48;
  }
  [[gnu::always_inline]] typename V::F Part(int part) const {
    const int sub = part / 2, column = part % 2 * 16;
    const auto bytes = V::LoadUint8(quants + sub / 2 * 32 + column);
    const auto low = V::And(V::ShiftRight(bytes, sub % 2 * 4), V::SetInt(15));
    const auto bit = V::And(V::ShiftRight(V::LoadUint8(high_bits + column), sub), V::SetInt(1));
    return V::MulAdd(V::ToFloat(V::Or(low, V::ShiftLeft(bit, 4))), scales.Scale(sub),
                     scales.Offset(sub));
  }
};

// 16 sub-blocks of 16 with a signed 8-bit scale each: scale * scales[sub] * (q - 32). Halves of 128
// elements; in each, 64 bytes hold the low 4 bits (elements 0..63 in the low halves, 64..127 in the
// high), 32 bytes the top 2 bits (elements 32 j + i in bits 2 j, 2 j + 1 of byte i).
template <typename V>
struct WeightBlock<V, DType::kQ6_K> {
  static constexpr int kSize = 256, kBytes = 210;
  alignas(64) float scales[16];
  const uint8_t* data;
  [[gnu::always_inline]] void Load(const uint8_t* p) {
    data = p;
    V::Store(scales, V::Mul(V::ToFloat(V::LoadInt8(p + 192)), LoadScale<V>(p + 208)));
  }
  [[gnu::always_inline]] typename V::F Part(int part) const {
    const int half = part / 8, quarter = part % 8 / 2, column = part % 2 * 16;
    const auto low_bytes = V::LoadUint8(data + half * 64 + quarter % 2 * 32 + column);
    const auto low = V::And(V::ShiftRight(low_bytes, quarter / 2 * 4), V::SetInt(15));
    const auto high_bytes = V::LoadUint8(data + 128 + half * 32 + column);
    const auto high = V::And(V::ShiftRight(high_bytes, quarter * 2), V::SetInt(3));
    const auto quants = V::SubInt(V::Or(low, V::ShiftLeft(high, 4)), V::SetInt(32));
    return V::Mul(V::ToFloat(quants), V::Set(scales[part]));
  }
};

// Elements of a row that fill whole blocks; only plain types leave a rest.
template <typename V, DType D>
constexpr bool kHasTail = WeightBlock<V, D>::kSize == 16;

// Decodes one row of `cols` weights to floats.
template <typename V, DType D>
void DecodeRow(const uint8_t* row, int64_t cols, float* out) {
  using Block = WeightBlock<V, D>;
  const int64_t num_blocks = cols / Block::kSize;
  for (int64_t b = 0; b < num_blocks; ++b) {
    Block block;
    block.Load(row + b * Block::kBytes);
    for (int part = 0; part < Block::kSize / 16; ++part) {
      V::Store(out + b * Block::kSize + part * 16, block.Part(part));
    }
  }
  if constexpr (kHasTail<V, D>) {
    const int64_t done = num_blocks * Block::kSize;
    if (done == cols) return;
    const auto tail = Block::Tail(row + num_blocks * Block::kBytes, cols - done);
    V::StorePartial(out + done, cols - done, tail);
  }
}

// Calls visit.template operator()<D>() for the DType that `dtype` names.
template <typename Visit>
void VisitDType(DType dtype, Visit visit) {
  switch (dtype) {
    case DType::kF32:
      return visit.template operator()<DType::kF32>();
    case DType::kF16:
      return visit.template operator()<DType::kF16>();
    case DType::kBF16:
      return visit.template operator()<DType::kBF16>();
    case DType::kQ4_0:
      return visit.template operator()<DType::kQ4_0>();
    case DType::kQ4_1:
      return visit.template operator()<DType::kQ4_1>();
    case DType::kQ5_0:
      return visit.template operator()<DType::kQ5_0>();
    case DType::kQ5_1:
      return visit.template operator()<DType::kQ5_1>();
    case DType::kQ8_0:
      return visit.template operator()<DType::kQ8_0>();
    case DType::kQ4_K:
      return visit.template operator()<DType::kQ4_K>();
    case DType::kQ5_K:
      return visit.template operator()<DType::kQ5_K>();
    case DType::kQ6_K:
      return visit.template operator()<DType::kQ6_K>();
    case DType::kI8:
      return;  // no weights
  }
}

}  // namespace tandem
