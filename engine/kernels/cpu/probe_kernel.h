// What a core can do at best, as loops without anything else in them: the yardstick that
// `tandem bench-engine` holds kernels against. Timed by the caller.
#pragma once

#include <cstdint>

namespace tandem {

// Reads `size` bytes, a multiple of 256; the result only keeps the compiler from leaving it out.
template <typename V>
float ProbeRead(const uint8_t* bytes, int64_t size) {
  typename V::I sums[4] = {V::SetInt(0), V::SetInt(0), V::SetInt(0), V::SetInt(0)};
  for (int64_t i = 0; i < size; i += 256) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      const typename V::F x = V::Load(reinterpret_cast<const float*>(bytes + i + j * 64));
      sums[j] = V::AddInt(sums[j], V::BitsOf(x));
    }
  }
  const typename V::I sum = V::AddInt(V::AddInt(sums[0], sums[1]), V::AddInt(sums[2], sums[3]));
  return static_cast<float>(V::SumInt(sum));
}

inline constexpr int kProbeRound = 1024;

// Float multiply-adds on as many accumulators as products of floats have. Returns how many.
template <typename V>
int64_t ProbeFloats(int64_t rounds, float* sink) {
  constexpr int kChains = V::kWeightTile * V::kRowTile;
  const typename V::F half = V::Set(*sink);  // not known to the compiler
  // No two chains are equal, nor two halves of one: the compiler would compute them once.
  float lanes[kChains + 16];
  for (int i = 0; i < kChains + 16; ++i) lanes[i] = *sink + static_cast<float>(i);
  typename V::F totals[kChains];
#pragma GCC unroll 32
  for (int i = 0; i < kChains; ++i) totals[i] = V::Load(lanes + i);
  for (int64_t round = 0; round < rounds * kProbeRound; ++round) {
#pragma GCC unroll 32
    for (int i = 0; i < kChains; ++i) totals[i] = V::MulAdd(totals[i], half, half);
  }
  typename V::F total = totals[0];
#pragma GCC unroll 32
  for (int i = 1; i < kChains; ++i) total = V::Add(total, totals[i]);
  *sink += V::Sum(total) * 0.0f;
  return rounds * kProbeRound * kChains * 16;
}

// Products of weights of kBits with 8-bit activations, blocks of 32 columns of 16 rows as
// quantized_matmul.h multiplies them, operands in L1; what is done per block is left out.
template <typename V, int kBits>
int64_t ProbeIntegersOf(int64_t rounds, float* sink) {
  constexpr int kParts = kBits == 8 && V::kSplitsBytes ? 2 : 1;
  constexpr int kChains = V::kQuantChains / kParts;
  constexpr int kRegisters = 8;  // of one block
  alignas(64) uint8_t weights[kParts][kRegisters][64];
  int8_t x[kChains][32];
  for (int i = 0; i < kParts * 512; ++i) {
    weights[i / 512][i / 64 % 8][i % 64] = i & ((1 << kBits / kParts) - 1);
  }
  for (int i = 0; i < kChains * 32; ++i) x[i / 32][i % 32] = static_cast<int8_t>(i % 255);
  typename V::I sums[kChains];
#pragma GCC unroll 8
  for (int i = 0; i < kChains; ++i) sums[i] = V::SetInt(i);
  for (int64_t block = 0; block < rounds * kProbeRound; ++block) {
    typename V::QuantSums products[kChains][kParts];
#pragma GCC unroll 8
    for (int j = 0; j < kRegisters; ++j) {
#pragma GCC unroll 2
      for (int part = 0; part < kParts; ++part) {
        const typename V::Quants w = V::LoadQuants(weights[part][j]);
#pragma GCC unroll 8
        for (int i = 0; i < kChains; ++i) {
          const auto before = j == 0 ? V::NoSums() : products[i][part];
          products[i][part] = V::DotQuants(before, w, x[i] + j * 4);
        }
      }
    }
#pragma GCC unroll 8
    for (int i = 0; i < kChains; ++i) {
#pragma GCC unroll 2
      for (int part = 0; part < kParts; ++part) sums[i] = V::AddSums(sums[i], products[i][part]);
    }
  }
  typename V::I sum = sums[0];
#pragma GCC unroll 8
  for (int i = 1; i < kChains; ++i) sum = V::AddInt(sum, sums[i]);
  *sink += static_cast<float>(V::SumInt(sum)) * 0.0f;
  return rounds * kProbeRound * kChains * kRegisters * 64;
}

template <typename V>
int64_t ProbeIntegers(int64_t rounds, int weight_bits, float* sink) {
  return weight_bits == 8 ? ProbeIntegersOf<V, 8>(rounds, sink)
                          : ProbeIntegersOf<V, 4>(rounds, sink);
}

}  // namespace tandem
