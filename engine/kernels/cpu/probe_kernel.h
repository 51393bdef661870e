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
  typename V::F totals[kChains];
#pragma GCC unroll 32
  for (int i = 0; i < kChains; ++i) totals[i] = half;
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

// Products of weights of kBits with 8-bit activations, summed in 32 bits. Operands come from L1, as
// they do in quantized_matmul.h.
template <typename V, int kBits>
int64_t ProbeIntegersOf(int64_t rounds, float* sink) {
  constexpr int kChains = V::kWeightTile * V::kRowTile / 2;  // the operands take registers too
  alignas(64) uint8_t weights[8][64];
  int8_t x[kChains][32];
  for (int i = 0; i < 512; ++i) weights[i / 64][i % 64] = i & ((1 << kBits) - 1);
  for (int i = 0; i < kChains * 32; ++i) x[i / 32][i % 32] = static_cast<int8_t>(i % 255);
  typename V::I sums[kChains];
#pragma GCC unroll 32
  for (int i = 0; i < kChains; ++i) sums[i] = V::SetInt(i);
    // One register of weights at a time: gcc would add up several of them first, and spill.
#pragma GCC unroll 1
  for (int64_t step = 0; step < rounds * kProbeRound; ++step) {
    const int64_t j = step % 8;
    const typename V::Quants w = V::LoadQuants(weights[j]);
#pragma GCC unroll 32
    for (int i = 0; i < kChains; ++i) {
      sums[i] = V::template DotQuants<kBits>(sums[i], w, x[i] + j * 4);
    }
  }
  typename V::I sum = sums[0];
#pragma GCC unroll 32
  for (int i = 1; i < kChains; ++i) sum = V::AddInt(sum, sums[i]);
  *sink += static_cast<float>(V::SumInt(sum)) * 0.0f;
  return rounds * kProbeRound * kChains * 64;
}

template <typename V>
int64_t ProbeIntegers(int64_t rounds, int weight_bits, float* sink) {
  return weight_bits == 8 ? ProbeIntegersOf<V, 8>(rounds, sink)
                          : ProbeIntegersOf<V, 4>(rounds, sink);
}

}  // namespace tandem
