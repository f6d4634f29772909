// SPDX-License-Identifier: Apache-2.0
// Trigonometric functions of f32 and their inverses (see fast_math.h). Polynomials are minimax fits
// of the relative error.
#pragma once

#include "rutile/kernels/cpu/isa/fast_exp.h"

namespace rutile::kernels::RUTILE_ISA {
namespace {

constexpr float kHalfPi = 1.57079637f, kHalfPiOver = 4.37113883e-8f;  // their difference is pi / 2
constexpr float kPi = 3.14159274f, kPiOver = 8.74227766e-8f;

// sin, cos and tan below are for |x| up to this.
constexpr float kMostTurned = 0x1p29f;

// x = quarter * pi / 2 + rest, |rest| <= pi / 4. In double: no bits are lost near multiples of pi.
struct Turned {
  float rest;
  int32_t quarter;
};
RUTILE_FN Turned turn(float x) {
  const double d = x;
  const double n = __builtin_rint(d * 0.63661977236758134308);
  const double r =
      __builtin_fma(n, -6.12323399573676603587e-17, __builtin_fma(n, -1.57079632679489655800, d));
  return {static_cast<float>(r), static_cast<int32_t>(n)};
}
RUTILE_FN float sin_rest(float r) {
  const float z = r * r;
  float p = -1.951697632e-04f;
  p = fma(p, z, 8.332176134e-03f);
  p = fma(p, z, -1.666665524e-01f);
  return fma(p, r * z, r);
}
RUTILE_FN float cos_rest(float r) {
  const float z = r * r;
  float p = 2.443808989e-05f;
  p = fma(p, z, -1.388736418e-03f);
  p = fma(p, z, 4.166664556e-02f);
  return fma(p, z * z, fma(-0.5f, z, 1.0f));
}
RUTILE_FN float sin_f32(float x) {
  const Turned t = turn(x);
  const float y = t.quarter & 1 ? cos_rest(t.rest) : sin_rest(t.rest);
  return x == 0.0f ? x : t.quarter & 2 ? -y : y;
}
RUTILE_FN float cos_f32(float x) {
  const Turned t = turn(x);
  const float y = t.quarter & 1 ? sin_rest(t.rest) : cos_rest(t.rest);
  return (t.quarter + 1) & 2 ? -y : y;
}
RUTILE_FN float tan_f32(float x) {
  const Turned t = turn(x);
  const float s = sin_rest(t.rest), c = cos_rest(t.rest);
  const float y = (t.quarter & 1 ? -c : s) / (t.quarter & 1 ? s : c);
  return x == 0.0f ? x : y;
}

// Of t in [0, 1].
RUTILE_FN float atan_unit(float t) {
  const float z = t * t;
  float p = -1.827184693e-03f;
  p = fma(p, z, 1.106431521e-02f);
  p = fma(p, z, -3.145546839e-02f);
  p = fma(p, z, 5.823431909e-02f);
  p = fma(p, z, -8.419445902e-02f);
  p = fma(p, z, 1.095757186e-01f);
  p = fma(p, z, -1.426524520e-01f);
  p = fma(p, z, 1.999863833e-01f);
  p = fma(p, z, -3.333330154e-01f);
  return fma(p, t * z, t);
}
RUTILE_FN float atan_f32(float x) {
  const float a = __builtin_fabsf(x);
  const float p = atan_unit(a > 1.0f ? 1.0f / a : a);
  return __builtin_copysignf(a > 1.0f ? kHalfPi - (p + kHalfPiOver) : p, x);
}
RUTILE_FN float atan2_f32(float y, float x) {
  const float ax = __builtin_fabsf(x), ay = __builtin_fabsf(y);
  const bool steep = ay > ax;
  const float least = steep ? ax : ay, most = steep ? ay : ax;
  float t = least / most;
  t = most == 0.0f ? 0.0f : t;
  t = least == __builtin_inff() ? 1.0f : t;
  const float p = atan_unit(t);
  const float right = steep ? kHalfPi - (p + kHalfPiOver) : p;
  const float angle = bits_of(x) < 0 ? kPi - (right + kPiOver) : right;
  return x != x || y != y ? x + y : __builtin_copysignf(angle, y);
}

// asin of a in [0, 1] is p up to 1/2, pi / 2 - 2 p beyond.
RUTILE_FN float asin_part(float a) {
  const float z = a > 0.5f ? 0.5f * (1.0f - a) : a * a;
  const float s = a > 0.5f ? __builtin_sqrtf(z) : a;
  float p = 4.221854731e-02f;
  p = fma(p, z, 2.414761111e-02f);
  p = fma(p, z, 4.547709599e-02f);
  p = fma(p, z, 7.495241612e-02f);
  p = fma(p, z, 1.666675359e-01f);
  return fma(p, s * z, s);
}
RUTILE_FN float asin_f32(float x) {
  const float a = __builtin_fabsf(x), p = asin_part(a);
  return __builtin_copysignf(a > 0.5f ? kHalfPi - fma(2.0f, p, kHalfPiOver) : p, x);
}
RUTILE_FN float acos_f32(float x) {
  const float a = __builtin_fabsf(x), p = asin_part(a);
  const float far = x > 0.0f ? 2.0f * p : kPi - fma(2.0f, p, kPiOver);
  return a > 0.5f ? far : kHalfPi - (__builtin_copysignf(p, x) + kHalfPiOver);
}

}  // namespace
}  // namespace rutile::kernels::RUTILE_ISA
