// SPDX-License-Identifier: Apache-2.0
#include "rutile/core/half.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "rutile/core/rng.h"

namespace rutile {
namespace {

struct Format {
  int fraction_bits;
  int min_exponent;  // of the smallest normal number
  int max_exponent;
};
constexpr Format kHalfFormat{10, -14, 15};
constexpr Format kBFloat16Format{7, -126, 127};

double decode(uint16_t bits, Format f) {
  const int exponent_bits = 15 - f.fraction_bits;
  const int e = bits >> f.fraction_bits & ((1 << exponent_bits) - 1);
  const int m = bits & ((1 << f.fraction_bits) - 1);
  double v;
  if (e == (1 << exponent_bits) - 1) {
    v = m == 0 ? HUGE_VAL : NAN;
  } else if (e == 0) {
    v = std::ldexp(m, f.min_exponent - f.fraction_bits);
  } else {
    v = std::ldexp(m + (1 << f.fraction_bits), e - 1 + f.min_exponent - f.fraction_bits);
  }
  return bits & 0x8000 ? -v : v;
}

// Rounds to the nearest number of the format, ties to even, in double arithmetic.
double round_to(double v, Format f) {
  if (v == 0 || !std::isfinite(v)) return v;
  const int exponent = std::max(std::ilogb(v), f.min_exponent);
  const double unit = std::ldexp(1.0, exponent - f.fraction_bits);
  const double r = std::nearbyint(v / unit) * unit;
  const double largest = std::ldexp(2.0 - std::ldexp(1.0, -f.fraction_bits), f.max_exponent);
  return std::abs(r) > largest ? std::copysign(HUGE_VAL, v) : r;
}

template <class T>
void expect_rounds(float v, Format f) {
  const double expected = round_to(v, f);
  const double got = static_cast<float>(T(v));
  ASSERT_EQ(got, expected) << std::hexfloat << v;
  ASSERT_EQ(std::signbit(got), std::signbit(v)) << std::hexfloat << v;
}

template <class T>
void check_all_patterns(Format f) {
  for (uint32_t i = 0; i <= 0xffff; ++i) {
    T t;
    t.bits = static_cast<uint16_t>(i);
    const double expected = decode(t.bits, f);
    const float got = t;
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(got)) << i;
      ASSERT_TRUE(std::isnan(static_cast<float>(T(got)))) << i;
      continue;
    }
    ASSERT_EQ(got, expected) << i;
    ASSERT_EQ(T(got).bits, t.bits) << i;
  }
}

// Every midpoint between two neighbours, and the floats on either side of it.
template <class T>
void check_midpoints(Format f) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (uint32_t i = 0; std::isfinite(decode(static_cast<uint16_t>(i + 1), f)); ++i) {
    const double a = decode(static_cast<uint16_t>(i), f);
    const double b = decode(static_cast<uint16_t>(i + 1), f);
    const float mid = static_cast<float>((a + b) / 2);
    for (const float v : {mid, std::nextafter(mid, infinity), std::nextafter(mid, -infinity)}) {
      ASSERT_NO_FATAL_FAILURE(expect_rounds<T>(v, f));
      ASSERT_NO_FATAL_FAILURE(expect_rounds<T>(-v, f));
    }
  }
}

template <class T>
void check_random(Format f) {
  for (uint64_t i = 0; i < 200000; ++i) {
    for (const uint32_t w : philox({1}, i)) {
      const float v = std::bit_cast<float>(w);
      if (std::isnan(v)) continue;
      ASSERT_NO_FATAL_FAILURE(expect_rounds<T>(v, f));
    }
  }
}

TEST(Half, AllPatterns) { check_all_patterns<Half>(kHalfFormat); }
TEST(Half, Midpoints) { check_midpoints<Half>(kHalfFormat); }
TEST(Half, RandomFloats) { check_random<Half>(kHalfFormat); }
TEST(BFloat16, AllPatterns) { check_all_patterns<BFloat16>(kBFloat16Format); }
TEST(BFloat16, Midpoints) { check_midpoints<BFloat16>(kBFloat16Format); }
TEST(BFloat16, RandomFloats) { check_random<BFloat16>(kBFloat16Format); }

TEST(Half, Boundaries) {
  EXPECT_EQ(Half(65504.0f).bits, 0x7bff);
  EXPECT_EQ(Half(std::nextafter(65520.0f, 0.0f)).bits, 0x7bff);
  EXPECT_EQ(Half(65520.0f).bits, 0x7c00);  // the tie beyond the largest goes to infinity
  EXPECT_EQ(Half(-65520.0f).bits, 0xfc00);
  EXPECT_EQ(Half(std::numeric_limits<float>::infinity()).bits, 0x7c00);
  EXPECT_EQ(Half(0x1p-24f).bits, 0x0001);
  EXPECT_EQ(Half(0x1p-25f).bits, 0x0000);  // a tie, zero is even
  EXPECT_EQ(Half(std::nextafter(0x1p-25f, 1.0f)).bits, 0x0001);
  EXPECT_EQ(Half(std::nextafter(0x1p-14f, 0.0f)).bits, 0x0400);  // subnormal rounds to normal
  EXPECT_EQ(Half(-0.0f).bits, 0x8000);
  EXPECT_EQ(Half(1.0f).bits, 0x3c00);
}

TEST(BFloat16, Boundaries) {
  EXPECT_EQ(BFloat16(std::numeric_limits<float>::max()).bits, 0x7f80);
  EXPECT_EQ(BFloat16(0x1.fep127f).bits, 0x7f7f);
  EXPECT_EQ(BFloat16(1.0f + 0x1p-8f).bits, 0x3f80);            // tie to even: down
  EXPECT_EQ(BFloat16(1.0f + 0x1p-7f + 0x1p-8f).bits, 0x3f82);  // tie to even: up
  EXPECT_EQ(BFloat16(std::numeric_limits<float>::denorm_min()).bits, 0x0000);
  // A NaN whose payload lies in the dropped half stays a NaN.
  EXPECT_TRUE(std::isnan(static_cast<float>(BFloat16(std::bit_cast<float>(0x7f800001u)))));
  EXPECT_TRUE(std::isnan(static_cast<float>(BFloat16(std::bit_cast<float>(0xffffffffu)))));
}

}  // namespace
}  // namespace rutile
