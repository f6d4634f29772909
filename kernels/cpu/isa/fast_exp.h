// SPDX-License-Identifier: Apache-2.0
// Exponentials, logarithms, tanh, erf and GELU of f32 (see fast_math.h).
#pragma once

#include <cstdint>

#include "rutile/kernels/functors.h"

namespace rutile::kernels::RUTILE_ISA {
namespace {

RUTILE_FN float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
RUTILE_FN int32_t bits_of(float x) { return __builtin_bit_cast(int32_t, x); }
RUTILE_FN float from_bits(int32_t b) { return __builtin_bit_cast(float, b); }
RUTILE_FN float pow2(int32_t n) {
  return from_bits((n + 127) << 23);
}  // -126 <= n <= 127; 128: inf
// Nearest integer of |x| < 2^22.
RUTILE_FN float nearest(float x) { return __builtin_rintf(x); }

// exp(r) - 1 for |r| <= ln(2) / 2.
RUTILE_FN float expm1_reduced(float r) {
  float p = 1.98412698e-4f;
  p = fma(p, r, 1.39349013e-3f);
  p = fma(p, r, 8.33337437e-3f);
  p = fma(p, r, 4.16664295e-2f);
  p = fma(p, r, 1.66666657e-1f);
  p = fma(p, r, 5.00000000e-1f);
  return fma(p, r * r, r);
}
// p * 2^n for p in [1/2, 2) and whole n from -152 to 129, rounded once. Below 2^-125 the bits are
// made as an integer, in units of the smallest number: arithmetic that gives subnormal results
// costs some hundred cycles on many processors.
RUTILE_FN float scale(float p, float n) {
  const bool tiny = n < -125.0f;
  const float v = (p + p) * pow2(static_cast<int32_t>(n + (tiny ? 148.0f : -1.0f)));
  return tiny ? from_bits(static_cast<int32_t>(nearest(v))) : v;
}
RUTILE_FN float clamp(float x, float lo, float hi) {  // keeps NaN
  const float t = x < lo ? lo : x;
  return t > hi ? hi : t;
}

RUTILE_FN float exp_f32(float x) {
  x = clamp(x, -105.0f, 89.0f);
  const float n = nearest(x * 1.44269504088896341f);
  const float r = fma(n, -1.42860677e-6f, fma(n, -6.93145752e-1f, x));
  return scale(expm1_reduced(r) + 1.0f, n);
}

RUTILE_FN float exp2_f32(float x) {
  x = clamp(x, -151.0f, 129.0f);
  const float n = nearest(x);
  return scale(expm1_reduced((x - n) * 6.93147180559945309e-1f) + 1.0f, n);
}

RUTILE_FN float expm1_f32(float x) {
  const float y = clamp(x, -40.0f, 89.0f);
  const float n = nearest(y * 1.44269504088896341f);
  const float r = fma(n, -1.42860677e-6f, fma(n, -6.93145752e-1f, y));
  const float p = expm1_reduced(r);
  const int32_t k = static_cast<int32_t>(n);
  const float s = pow2(k - (k > 127));  // 2^128 does not exist
  const float small = fma(p, s, s - 1.0f);
  const float e = k > 127 ? (p + 1.0f) * s * 2.0f : small;
  return x == 0.0f ? x : e;  // -0 stays
}

// log(m 2^e) for m in [sqrt(1/2), sqrt(2)), from f = m - 1.
RUTILE_FN float log_reduced(float f, float e) {
  float p = 7.0376836292e-2f;
  p = fma(p, f, -1.1514610310e-1f);
  p = fma(p, f, 1.1676998740e-1f);
  p = fma(p, f, -1.2420140846e-1f);
  p = fma(p, f, 1.4249322787e-1f);
  p = fma(p, f, -1.6668057665e-1f);
  p = fma(p, f, 2.0000714765e-1f);
  p = fma(p, f, -2.4999993993e-1f);
  p = fma(p, f, 3.3333331174e-1f);
  const float f2 = f * f;
  float y = fma(e, -2.12194440e-4f, p * f2 * f);
  y = fma(-0.5f, f2, y);
  return fma(e, 0.693359375f, f + y);
}
// Splits x > 0 into mantissa - 1 and exponent; subnormal numbers are scaled first.
RUTILE_FN float split(float x, float* e) {
  const bool tiny = x < 1.17549435e-38f;
  const float y = tiny ? x * 0x1p24f : x;
  const int32_t shifted = static_cast<int32_t>(static_cast<uint32_t>(bits_of(y)) - 0x3f3504f3u);
  *e = static_cast<float>(shifted >> 23) - (tiny ? 24.0f : 0.0f);
  return from_bits((shifted & 0x7fffff) + 0x3f3504f3) - 1.0f;
}
// What logarithms give outside (0, inf).
RUTILE_FN float log_edges(float x, float y) {
  y = x > 3.40282347e38f ? x : y;
  y = x == 0.0f ? -__builtin_inff() : y;
  return x < 0.0f ? __builtin_nanf("") : x != x ? x : y;
}
RUTILE_FN float log_f32(float x) {
  float e;
  const float f = split(x, &e);
  return log_edges(x, log_reduced(f, e));
}
RUTILE_FN float log2_f32(float x) {
  float e;
  const float f = split(x, &e);
  // log2(m) as the sum of a rounded and a small part.
  const float l = log_reduced(f, 0.0f);
  return log_edges(x, fma(l, 1.44269504f, fma(l, 1.92596299e-8f, e)));
}
RUTILE_FN float log1p_f32(float x) {
  const float u = 1.0f + x;
  float e;
  const float f = split(u, &e);
  // The rounding error of u, as a first-order correction.
  const float lost = u > 3.0f ? 1.0f - (u - x) : x - (u - 1.0f);
  const float y = log_reduced(f, e) + lost / u;
  const float z = __builtin_fabsf(x) < 1e-4f ? fma(-0.5f * x, x, x) : y;
  return log_edges(u, z);
}

RUTILE_FN float tanh_f32(float x) {
  const float a = __builtin_fabsf(x);
  const float t = expm1_f32(2.0f * a);
  const float y = a > 9.1f ? 1.0f : t / (t + 2.0f);
  return __builtin_copysignf(y, x);
}

// Two polynomials, of erf and of log(1 - erf).
RUTILE_FN float erf_f32(float x) {
  const float t = __builtin_fabsf(x), s = x * x;
  float r = fma(-1.72853470e-5f, t, 3.83197126e-4f);
  const float u = fma(-3.88396438e-3f, t, 2.42546219e-2f);
  r = fma(r, s, u);
  r = fma(r, t, -1.06777877e-1f);
  r = fma(r, t, -6.34846687e-1f);
  r = fma(r, t, -1.28717512e-1f);
  r = fma(r, t, -t);
  const float far = __builtin_copysignf(1.0f - exp_f32(t > 10.0f ? -100.0f : r), x);
  float q = -5.96761703e-4f;
  q = fma(q, s, 4.99119423e-3f);
  q = fma(q, s, -2.67681349e-2f);
  q = fma(q, s, 1.12819925e-1f);
  q = fma(q, s, -3.76125336e-1f);
  q = fma(q, s, 1.28379166e-1f);
  const float near = fma(q, x, x);
  return t > 0.927734375f ? far : near;
}

// For GELU, which multiplies by 1 + erf(x): a quotient of polynomials, below 4e-7 off.
RUTILE_FN float erf_near_f32(float x) {
  const float c = clamp(x, -4.0f, 4.0f), s = c * c;
  float p = -2.72614225801306e-10f;
  p = fma(p, s, 2.77068142495902e-8f);
  p = fma(p, s, -2.10102402082508e-6f);
  p = fma(p, s, -5.69250639462346e-5f);
  p = fma(p, s, -7.34990630326855e-4f);
  p = fma(p, s, -2.95459980854025e-3f);
  p = fma(p, s, -1.60960333262415e-2f);
  float q = -1.45660718464996e-5f;
  q = fma(q, s, -2.13374055278905e-4f);
  q = fma(q, s, -1.68282697438203e-3f);
  q = fma(q, s, -7.37332916720468e-3f);
  q = fma(q, s, -1.42647390514189e-2f);
  const float y = p * c / q;
  // The rounded value of erf from here on, so that nothing is left where GELU is 0.
  return __builtin_fabsf(x) > 3.92f ? __builtin_copysignf(1.0f, x) : y;
}
// exp for summands of 1 and factors: inf from 88.4 on, and below e^-87 no smaller.
RUTILE_FN float exp_normal_f32(float x) {
  const float c = clamp(x, -87.0f, 89.0f);
  const float n = nearest(c * 1.44269504088896341f);
  const float r = fma(n, -1.42860677e-6f, fma(n, -6.93145752e-1f, c));
  return (expm1_reduced(r) + 1.0f) * pow2(static_cast<int32_t>(n));
}
// exp for x <= 0; 0 where it would not be a normal number.
RUTILE_FN float exp_down_f32(float x) { return x < -87.0f ? 0.0f : exp_normal_f32(x); }

RUTILE_FN float gelu_erf_f32(float x) {
  return 0.5f * x * (1.0f + erf_near_f32(x * 0.70710678118654752440f));
}
RUTILE_FN float gelu_erf_grad_f32(float dy, float x) {
  const float cdf = 0.5f * (1.0f + erf_near_f32(x * 0.70710678118654752440f));
  const float density = 0.39894228040143267794f * exp_down_f32(-0.5f * x * x);
  return dy * fma(x, density, cdf);
}
// With s = sigmoid(2 u), tanh(u) is 2 s - 1.
RUTILE_FN float gelu_tanh_f32(float x) {
  const float u = 1.59576912160573071f * fma(0.044715f * x * x, x, x);
  return x / (1.0f + exp_normal_f32(-u));
}
RUTILE_FN float gelu_tanh_grad_f32(float dy, float x) {
  const float u = 1.59576912160573071f * fma(0.044715f * x * x, x, x);
  const float du = 1.59576912160573071f * fma(0.134145f * x, x, 1.0f);
  const float s = 1.0f / (1.0f + exp_normal_f32(-u));
  return dy * fma(x * du, s * (1.0f - s), s);
}

}  // namespace
}  // namespace rutile::kernels::RUTILE_ISA
