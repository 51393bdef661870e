#include "engine/tensor/float16.h"

#include <cmath>
#include <limits>

#include "gtest/gtest.h"

namespace tandem {
namespace {

// The value of a half by its definition.
float HalfByDefinition(uint16_t bits) {
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  float magnitude;
  if (exponent == 31) {
    magnitude = fraction == 0 ? INFINITY : NAN;
  } else if (exponent == 0) {
    magnitude = std::ldexp(static_cast<float>(fraction), -24);
  } else {
    magnitude = std::ldexp(static_cast<float>(1024 + fraction), exponent - 25);
  }
  return std::copysign(magnitude, bits & 0x8000 ? -1.0f : 1.0f);
}

TEST(Float16Test, EveryHalfHasItsValueAndComesBack) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const float value = FloatFromHalf(static_cast<uint16_t>(bits));
    const float expected = HalfByDefinition(static_cast<uint16_t>(bits));
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(value)) << bits;
      ASSERT_TRUE(std::isnan(FloatFromHalf(HalfFromFloat(value)))) << bits;
    } else {
      ASSERT_EQ(value, expected) << bits;
      ASSERT_EQ(HalfFromFloat(value), bits);
    }
  }
}

TEST(Float16Test, EveryBFloat16ComesBack) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const float value = FloatFromBFloat16(static_cast<uint16_t>(bits));
    if (std::isnan(value)) {
      ASSERT_TRUE(std::isnan(FloatFromBFloat16(BFloat16FromFloat(value)))) << bits;
    } else {
      ASSERT_EQ(BFloat16FromFloat(value), bits);
    }
  }
}

// Between each pair of neighbours: just below the middle down, just above up, the middle to even.
TEST(Float16Test, RoundsToNearestEven) {
  for (uint16_t bits = 0; bits < 0x7bff; ++bits) {
    const float low = FloatFromHalf(bits), high = FloatFromHalf(bits + 1);
    const float middle = low + (high - low) / 2;
    ASSERT_EQ(HalfFromFloat(std::nextafter(middle, 0.0f)), bits);
    ASSERT_EQ(HalfFromFloat(middle), bits % 2 == 0 ? bits : bits + 1);
    ASSERT_EQ(HalfFromFloat(std::nextafter(middle, 1e9f)), bits + 1);
    ASSERT_EQ(HalfFromFloat(-middle), 0x8000 | (bits % 2 == 0 ? bits : bits + 1));
  }
  EXPECT_EQ(BFloat16FromFloat(1.00390625f), 0x3f80);  // 1 + 2^-8: a tie, down to even
  EXPECT_EQ(BFloat16FromFloat(1.01171875f), 0x3f82);  // 1 + 3 * 2^-8: a tie, up to even
}

TEST(Float16Test, WhatIsTooLargeBecomesInfinity) {
  EXPECT_EQ(HalfFromFloat(65519.996f), 0x7bff);
  EXPECT_EQ(HalfFromFloat(65520.0f), 0x7c00);
  EXPECT_EQ(HalfFromFloat(-1e30f), 0xfc00);
  EXPECT_EQ(BFloat16FromFloat(std::numeric_limits<float>::max()), 0x7f80);
}

}  // namespace
}  // namespace tandem
