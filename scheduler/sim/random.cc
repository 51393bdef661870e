#include "scheduler/sim/random.h"

#include <cmath>

namespace tandem {
namespace {

uint64_t RotateLeft(uint64_t x, int bits) { return (x << bits) | (x >> (64 - bits)); }

// splitmix64 (Steele, Lea and Flood 2014).
uint64_t SplitMix(uint64_t& state) {
  uint64_t z = (state += 0x9E3779B97F4A7C15);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

}  // namespace

uint64_t MixSeed(uint64_t a, uint64_t b) {
  uint64_t state = a;
  state = SplitMix(state) ^ b;
  return SplitMix(state);
}

Random::Random(uint64_t seed, uint64_t stream) {
  uint64_t state = MixSeed(seed, stream);
  for (uint64_t& word : state_) word = SplitMix(state);
}

uint64_t Random::Next() {
  const uint64_t result = RotateLeft(state_[1] * 5, 7) * 9;
  const uint64_t shifted = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= shifted;
  state_[3] = RotateLeft(state_[3], 45);
  return result;
}

double Random::Uniform() { return static_cast<double>(Next() >> 11) * 0x1p-53; }

uint64_t Random::Below(uint64_t bound) {
  // The largest multiple of `bound` cuts off the numbers that would make some results likelier.
  const uint64_t rest = (0 - bound) % bound;  // 2^64 mod bound
  uint64_t drawn = Next();
  while (drawn < rest) drawn = Next();
  return drawn % bound;
}

double Random::Exponential() { return -std::log1p(-Uniform()); }

double Random::Normal() {
  // Marsaglia's polar method; the second of each pair is dropped, so that a draw has no memory.
  while (true) {
    const double x = 2 * Uniform() - 1;
    const double y = 2 * Uniform() - 1;
    const double square = x * x + y * y;
    if (square > 0 && square < 1) return x * std::sqrt(-2 * std::log(square) / square);
  }
}

double Random::Gamma(double shape) {
  // Marsaglia and Tsang 2000; below 1 by the boost of their section 6.
  if (shape < 1) {
    const double boost = std::exp(-Exponential() / shape);
    return Gamma(shape + 1) * boost;
  }
  const double d = shape - 1.0 / 3;
  const double c = 1 / std::sqrt(9 * d);
  while (true) {
    const double x = Normal();
    const double root = 1 + c * x;
    if (root <= 0) continue;
    const double v = root * root * root;
    if (std::log(1 - Uniform()) < x * x / 2 + d - d * v + d * std::log(v)) return d * v;
  }
}

}  // namespace tandem
