#pragma once

#include <cstdint>

namespace tandem {

// a / b, rounded up. a is not negative, b is positive.
constexpr int64_t DivideUp(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace tandem
