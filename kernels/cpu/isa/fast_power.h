// SPDX-License-Identifier: Apache-2.0
// Powers, hyperbolic functions and their inverses of f32 (see fast_math.h).
#pragma once

#include "rutile/kernels/cpu/isa/fast_exp.h"

namespace rutile::kernels::RUTILE_ISA {
namespace {

// log2(x) of finite x > 0 to 1e-11, by log(m) = 2 atanh((m - 1) / (m + 1)).
RUTILE_FN double log2_wide(float x) {
  float e;
  const double f = split(x, &e);
  const double s = f / (f + 2.0), z = s * s;
  double p = 1.0 / 13;
  p = __builtin_fma(p, z, 1.0 / 11);
  p = __builtin_fma(p, z, 1.0 / 9);
  p = __builtin_fma(p, z, 1.0 / 7);
  p = __builtin_fma(p, z, 1.0 / 5);
  p = __builtin_fma(p, z, 1.0 / 3);
  p = __builtin_fma(p, z, 1.0);
  return __builtin_fma(s * p, 2.88539008177792681472, static_cast<double>(e));
}

RUTILE_FN float log10_f32(float x) {
  return log_edges(x, static_cast<float>(log2_wide(x) * 0.30102999566398119521));
}

// Squares of f32 do not overflow in double.
RUTILE_FN float hypot_f32(float x, float y) {
  const double a = x, b = y;
  const float size = static_cast<float>(__builtin_sqrt(__builtin_fma(a, a, b * b)));
  const float inf = __builtin_inff();
  return (__builtin_fabsf(x) == inf) | (__builtin_fabsf(y) == inf) ? inf : size;
}

// As C's pow: 1 wherever y is 0 or x is 1, a sign from odd integers y. Conditions are joined by &
// and |: branches would not vectorise.
RUTILE_FN float pow_f32(float x, float y) {
  constexpr float kInf = __builtin_inff();
  const float a = __builtin_fabsf(x), b = __builtin_fabsf(y);
  const double exact = static_cast<double>(y) * log2_wide(a);
  const double low = exact < -152.0 ? -152.0 : exact;
  const double t = low > 129.0 ? 129.0 : low;  // keeps NaN
  const double n = __builtin_rint(t);
  const float r = static_cast<float>((t - n) * 6.93147180559945309e-1);
  float v = scale(expm1_reduced(r) + 1.0f, static_cast<float>(n));
  v = a == 0.0f ? (y < 0.0f ? kInf : 0.0f) : v;
  v = a == kInf ? (y < 0.0f ? 0.0f : kInf) : v;
  // Integers are even beyond 2^24, infinity too.
  const float floor_half = __builtin_floorf(0.5f * y);
  const int odd = (y - 2.0f * floor_half == 1.0f) & (b < 0x1p24f);
  const int whole = (__builtin_floorf(y) == y) | (b == kInf);
  v = bits_of(x) < 0 ? (odd ? -v : v) : v;
  v = (x < 0.0f) & (a < kInf) & !whole ? __builtin_nanf("") : v;
  v = (a == 1.0f) & (b == kInf) ? 1.0f : v;
  v = (x != x) | (y != y) ? x + y : v;
  return (y == 0.0f) | (x == 1.0f) ? 1.0f : v;
}

// erfc(a) = t exp(p(t) - a^2) with t = 1 / (1 + a / 2): p is a fit over t in [0.16, 1].
RUTILE_FN float erfc_f32(float x) {
  const float b = __builtin_fabsf(x);
  const double a = b > 10.5f ? 10.5f : b;
  const double t = 1.0 / (1.0 + 0.5 * a);
  double p = -0.1406173327695;
  p = __builtin_fma(p, t, 0.9643716854537);
  p = __builtin_fma(p, t, -2.768500208282);
  p = __builtin_fma(p, t, 4.2107682089);
  p = __builtin_fma(p, t, -3.529170573321);
  p = __builtin_fma(p, t, 1.655589287679);
  p = __builtin_fma(p, t, -0.7081291902108);
  p = __builtin_fma(p, t, 0.2249589412431);
  p = __builtin_fma(p, t, 0.3546274590721);
  p = __builtin_fma(p, t, 1.001673450464);
  p = __builtin_fma(p, t, -1.265571725249);
  const double e = __builtin_fma(-a, a, p);
  const double n = __builtin_rint(e * 1.44269504088896341);
  const float r = static_cast<float>(__builtin_fma(n, -6.93147180559945309e-1, e));
  const float v = scale(expm1_reduced(r) + 1.0f, static_cast<float>(n)) * static_cast<float>(t);
  return x != x ? x : x < 0.0f ? 2.0f - v : v;
}

// exp(x) / 2, which exists where exp(x) does not.
RUTILE_FN float half_exp(float x) {
  x = clamp(x, -105.0f, 90.0f);
  const float n = nearest(x * 1.44269504088896341f);
  const float r = fma(n, -1.42860677e-6f, fma(n, -6.93145752e-1f, x));
  return scale(expm1_reduced(r) + 1.0f, n - 1.0f);
}
RUTILE_FN float cosh_f32(float x) {
  const float h = half_exp(__builtin_fabsf(x));
  return h + 0.25f / h;
}
RUTILE_FN float sinh_f32(float x) {
  const float a = __builtin_fabsf(x), z = x * x, h = half_exp(a);
  float p = 2.817439736e-06f;
  p = fma(p, z, 1.983606635e-04f);
  p = fma(p, z, 8.333350532e-03f);
  p = fma(p, z, 1.666666716e-01f);
  const float near = fma(p, x * z, x);
  return a < 1.0f ? near : __builtin_copysignf(h - 0.25f / h, x);
}

constexpr float kLn2 = 0.693147181f, kMostSquared = 1e4f;  // 1 is lost beside its square
RUTILE_FN float asinh_f32(float x) {
  const float a = __builtin_fabsf(x), s = a * a;
  const float near = log1p_f32(a + s / (1.0f + __builtin_sqrtf(s + 1.0f)));
  const float y = a > kMostSquared ? log_f32(a) + kLn2 : near;
  return x == 0.0f ? x : __builtin_copysignf(y, x);
}
RUTILE_FN float acosh_f32(float x) {
  const float t = x - 1.0f;
  const float near = log1p_f32(t + __builtin_sqrtf(fma(t, t, 2.0f * t)));
  const float y = x > kMostSquared ? log_f32(x) + kLn2 : near;
  return x < 1.0f ? __builtin_nanf("") : y;
}
RUTILE_FN float atanh_f32(float x) {
  const float a = __builtin_fabsf(x);
  const float y = 0.5f * log1p_f32(2.0f * a / (1.0f - a));
  return x == 0.0f ? x : __builtin_copysignf(y, x);
}

}  // namespace
}  // namespace rutile::kernels::RUTILE_ISA
