// SPDX-License-Identifier: Apache-2.0
// Special functions of f32 without branches, so that loops over them vectorise (see fast_math.h).
// The gamma functions are computed in double: their zeros and poles cancel much. Errors are below
// 4 ulp. Sources: kernels/special_math.h; M. Giles, "Approximating the erfinv function", 2010.
#pragma once

#include "rutile/kernels/cpu/isa/fast_exp.h"
#include "rutile/kernels/special_math.h"

namespace rutile::kernels::RUTILE_ISA {
namespace {

RUTILE_FN double fma(double a, double b, double c) { return __builtin_fma(a, b, c); }

// log(x) of normal x > 0 to 1e-16.
RUTILE_FN double log_wide(double x) {
  const int64_t bits = __builtin_bit_cast(int64_t, x);
  const int64_t shifted = bits - 0x3fe6a09e667f3bcd;  // sqrt(1/2)
  const int64_t e = shifted >> 52;
  const double m = __builtin_bit_cast(double, bits - (e << 52));
  // e as a double without a conversion that AVX2 lacks.
  const double exponent = __builtin_bit_cast(double, e + 0x4338000000000000) -
                          __builtin_bit_cast(double, 0x4338000000000000);
  const double f = m - 1.0, s = f / (f + 2.0), z = s * s;
  double p = 2.0 / 21;
  p = fma(p, z, 2.0 / 19);
  p = fma(p, z, 2.0 / 17);
  p = fma(p, z, 2.0 / 15);
  p = fma(p, z, 2.0 / 13);
  p = fma(p, z, 2.0 / 11);
  p = fma(p, z, 2.0 / 9);
  p = fma(p, z, 2.0 / 7);
  p = fma(p, z, 2.0 / 5);
  p = fma(p, z, 2.0 / 3);
  p = fma(p * z, s, 2.0 * s);
  return fma(exponent, 6.93147180559945309417e-1, p);
}

// One step of the bits towards y.
RUTILE_FN float nextafter_f32(float x, float y) {
  const int32_t b = bits_of(x);
  const int32_t grows = (x < y) == (b >= 0);
  float r = from_bits(b + (grows ? 1 : -1));
  r = x == 0.0f ? from_bits((bits_of(y) & static_cast<int32_t>(0x80000000)) | 1) : r;
  r = x == y ? y : r;
  return (x != x) | (y != y) ? x + y : r;
}

// sin(pi r) and cos(pi r) for |r| <= 1/2.
RUTILE_FN double sin_pi(double r) {
  const double z = r * r;
  double p = 5.392664662608125e-10;
  p = fma(p, z, -2.2948428997269856e-08);
  p = fma(p, z, 7.952054001475508e-07);
  p = fma(p, z, -2.1915353447830204e-05);
  p = fma(p, z, 0.00046630280576761234);
  p = fma(p, z, -0.007370430945714348);
  p = fma(p, z, 0.08214588661112819);
  p = fma(p, z, -0.5992645293207919);
  p = fma(p, z, 2.550164039877345);
  p = fma(p, z, -5.167712780049969);
  p = fma(p, z, 3.141592653589793);
  return p * r;
}
RUTILE_FN double cos_pi(double r) {
  const double z = r * r;
  double p = 3.6047307974624982e-09;
  p = fma(p, z, -1.387895246221376e-07);
  p = fma(p, z, 4.303069587032944e-06);
  p = fma(p, z, -0.00010463810492484565);
  p = fma(p, z, 0.001929574309403922);
  p = fma(p, z, -0.02580689139001405);
  p = fma(p, z, 0.23533063035889312);
  p = fma(p, z, -1.3352627688545893);
  p = fma(p, z, 4.058712126416768);
  p = fma(p, z, -4.934802200544679);
  return fma(p, z, 1.0);
}
// What x is beside the nearest integer: sin(pi x) and sin(pi r) differ by a sign only.
RUTILE_FN double beside_integer(double x) { return x - __builtin_rint(x); }

// Numbers below 0 are reflected: gamma(x) gamma(1 - x) = pi / sin(pi x). Those below 8 are moved up
// by 8, where Stirling's series is short.
RUTILE_FN float lgamma_f32(float x) {
  const double inf = __builtin_inf();
  const int below = x < 0.5f;
  const double a = below ? 1.0 - static_cast<double>(x) : static_cast<double>(x);
  const double product =
      a * (a + 1) * ((a + 2) * (a + 3)) * ((a + 4) * (a + 5) * ((a + 6) * (a + 7)));
  const int small = a < 8.0;
  const double t = small ? a + 8.0 : a;
  const double u = 1.0 / t, z = u * u;
  double p = -691.0 / 360360;
  p = fma(p, z, 1.0 / 1188);
  p = fma(p, z, -1.0 / 1680);
  p = fma(p, z, 1.0 / 1260);
  p = fma(p, z, -1.0 / 360);
  p = fma(p, z, 1.0 / 12);
  double y = fma(t - 0.5, log_wide(t), fma(p, u, 0.91893853320467274178 - t));
  const double r = beside_integer(static_cast<double>(x));
  const double sine = __builtin_fabs(sin_pi(r));
  // One logarithm for both: log(pi / |sin|) - (stirling - log(product)).
  const double factor = small ? product : 1.0;
  const double moved = below ? 3.14159265358979323846 * factor / sine : factor;
  const double l = log_wide(moved);
  y = below ? l - y : y - l;
  y = (x <= 0.0f) & (r == 0.0) ? inf : y;
  y = (x == 1.0f) | (x == 2.0f) ? 0.0 : y;
  y = __builtin_fabsf(x) == __builtin_inff() ? inf : y;
  return x != x ? x : static_cast<float>(y);
}

RUTILE_FN float digamma_f32(float x) {
  const int below = x < 0.0f;
  const double a = below ? 1.0 - static_cast<double>(x) : static_cast<double>(x);
  const int small = a < 8.0;
  // The sum of 1 / (a + k) over k < 8, in pairs.
  const double s = a * (a + 7.0), d = 2.0 * a + 7.0;
  const double p0 = s, p1 = s + 6.0, p2 = s + 10.0, p3 = s + 12.0;
  const double sum = d * ((p0 + p1) * (p2 * p3) + (p2 + p3) * (p0 * p1)) / ((p0 * p1) * (p2 * p3));
  const double t = small ? a + 8.0 : a;
  const double u = 1.0 / t, z = u * u;
  double p = 1.0 / 12;
  p = fma(p, z, -691.0 / 32760);
  p = fma(p, z, 1.0 / 132);
  p = fma(p, z, -1.0 / 240);
  p = fma(p, z, 1.0 / 252);
  p = fma(p, z, -1.0 / 120);
  p = fma(p, z, 1.0 / 12);
  double y = log_wide(t) - 0.5 * u - z * p - (small ? sum : 0.0);
  const double r = beside_integer(static_cast<double>(x));
  y = below ? y - 3.14159265358979323846 * cos_pi(r) / sin_pi(r) : y;
  float f = static_cast<float>(y);
  f = below & (r == 0.0) ? __builtin_nanf("") : f;
  f = x == 0.0f ? __builtin_copysignf(__builtin_inff(), -x) : f;
  f = x == __builtin_inff() ? x : f;
  return x != x ? x : f;
}

// Its derivative.
RUTILE_FN float trigamma_f32(float x) {
  const int below = x < 0.0f;
  const double a = below ? 1.0 - static_cast<double>(x) : static_cast<double>(x);
  const int small = a < 8.0;
  double sum = 0;
  for (int k = 0; k < 8; ++k) sum += 1.0 / ((a + k) * (a + k));
  const double t = small ? a + 8.0 : a;
  const double u = 1.0 / t, z = u * u;
  double p = 7.0 / 6;
  p = fma(p, z, -691.0 / 2730);
  p = fma(p, z, 5.0 / 66);
  p = fma(p, z, -1.0 / 30);
  p = fma(p, z, 1.0 / 42);
  p = fma(p, z, -1.0 / 30);
  p = fma(p, z, 1.0 / 6);
  double y = fma(p, z * u, fma(0.5, z, u)) + (small ? sum : 0.0);
  const double r = beside_integer(static_cast<double>(x));
  const double sine = sin_pi(r);
  y = below ? 9.86960440108935861883 / (sine * sine) - y : y;
  float f = static_cast<float>(y);
  f = (x <= 0.0f) & (r == 0.0) ? __builtin_inff() : f;
  f = x == __builtin_inff() ? 0.0f : f;
  f = x == -__builtin_inff() ? __builtin_nanf("") : f;
  return x != x ? x : f;
}

// Giles' polynomials in w = -log(1 - x^2).
RUTILE_FN float erfinv_f32(float x) {
  const float a = __builtin_fabsf(x);
  const float w = -log_f32((1.0f - a) * (1.0f + a));
  const float c = w - 2.5f;
  float p = 2.81022636e-08f;
  p = fma(p, c, 3.43273939e-07f);
  p = fma(p, c, -3.5233877e-06f);
  p = fma(p, c, -4.39150654e-06f);
  p = fma(p, c, 0.00021858087f);
  p = fma(p, c, -0.00125372503f);
  p = fma(p, c, -0.00417768164f);
  p = fma(p, c, 0.246640727f);
  p = fma(p, c, 1.50140941f);
  const float s = __builtin_sqrtf(w) - 3.0f;
  float q = -0.000200214257f;
  q = fma(q, s, 0.000100950558f);
  q = fma(q, s, 0.00134934322f);
  q = fma(q, s, -0.00367342844f);
  q = fma(q, s, 0.00573950773f);
  q = fma(q, s, -0.0076224613f);
  q = fma(q, s, 0.00943887047f);
  q = fma(q, s, 1.00167406f);
  q = fma(q, s, 2.83297682f);
  float y = (w < 5.0f ? p : q) * a;
  y = a == 1.0f ? __builtin_inff() : y;
  y = a > 1.0f ? __builtin_nanf("") : y;
  return x != x ? x : __builtin_copysignf(y, x);
}

// The series of kernels/special_math.h as far as f32 needs them.
template <int kNearTerms, int kFarTerms>
RUTILE_FN float bessel(float a, double factor, const double (&near)[kNearTerms],
                       const double (&far)[kFarTerms]) {
  const double d = a, safe = a < 8.0f ? 8.0 : d;
  const double below = special::chebyshev(0.5 * d - 2.0, near) * factor;
  const double above = special::chebyshev(32.0 / safe - 2.0, far) / __builtin_sqrt(safe);
  // In two factors: the result is finite where exp(a) is not.
  const double half = exp_f32(0.5f * a);
  const float y = static_cast<float>((a <= 8.0f ? below : above) * half * half);
  return a == __builtin_inff() ? a : y;
}

RUTILE_FN float i0_f32(float x) {
  constexpr auto kNear = special::kI0eNear.last<18>();
  constexpr auto kFar = special::kI0eFar.last<7>();
  return bessel(__builtin_fabsf(x), 1.0, kNear.c, kFar.c);
}

RUTILE_FN float i1_f32(float x) {
  constexpr auto kNear = special::kI1eNear.last<17>();
  constexpr auto kFar = special::kI1eFar.last<7>();
  const float a = __builtin_fabsf(x);
  return __builtin_copysignf(bessel(a, static_cast<double>(a), kNear.c, kFar.c), x);
}

}  // namespace
}  // namespace rutile::kernels::RUTILE_ISA
