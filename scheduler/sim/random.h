// Random numbers whose bits are the same with every standard library: std:: distributions differ
// between them, and a workload is named by its seed.
#pragma once

#include <cstdint>

namespace tandem {

// xoshiro256** (Blackman and Vigna 2018), seeded by splitmix64. One owner at a time.
class Random {
 public:
  // Streams of one seed are independent of each other.
  explicit Random(uint64_t seed, uint64_t stream = 0);

  uint64_t Next();
  double Uniform();                // in [0, 1)
  uint64_t Below(uint64_t bound);  // in [0, bound), without bias; `bound` is positive
  double Exponential();            // mean 1
  double Normal();                 // mean 0, deviation 1
  double Gamma(double shape);      // mean `shape`, scale 1; `shape` is positive

 private:
  uint64_t state_[4];
};

// A well mixed number made of two, such as a seed for element `b` of `a`.
uint64_t MixSeed(uint64_t a, uint64_t b);

}  // namespace tandem
