// Counter-based random numbers: a draw is a function of what it is for, not of what was drawn
// before. Philox4x32-10 of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011),
// section 3.3.
#pragma once

#include <array>
#include <cstdint>

namespace tandem {

using PhiloxCounter = std::array<uint32_t, 4>;
using PhiloxKey = std::array<uint32_t, 2>;

// Four random words of 32 bits.
PhiloxCounter Philox4x32(PhiloxCounter counter, PhiloxKey key);

// Uniform in [0, 1) with 53 random bits: the draw for the token at `position` of sample
// `sample_index` of the request with `seed`.
double UniformDraw(uint64_t seed, uint32_t sample_index, uint32_t position);

}  // namespace tandem
