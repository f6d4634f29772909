// SPDX-License-Identifier: Apache-2.0
// From random words to distributions, for host and device code. Every multiplication that feeds an
// addition is an explicit fused one, so that the compiler has nothing to contract and f32 results
// have the same bits everywhere.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "rutile/kernels/functors.h"

namespace rutile::kernels {

RUTILE_FN float fused(float a, float b, float c) { return __builtin_fmaf(a, b, c); }

// Uniform in [0, 1) with `bits` bits.
RUTILE_FN float word_to_unit(uint32_t w, int bits) {
  return static_cast<float>(static_cast<int32_t>(w >> (32 - bits))) *
         std::bit_cast<float>(static_cast<uint32_t>(127 - bits) << 23);
}

// log(x) for normal x > 0; Cephes' polynomial.
RUTILE_FN float log_of_normal(float x) {
  const uint32_t u = std::bit_cast<uint32_t>(x);
  // Mantissa in [sqrt(1/2), sqrt(2)).
  const uint32_t shifted = u - 0x3f3504f3u;
  const float e = static_cast<float>(static_cast<int32_t>(shifted) >> 23);
  const float m = std::bit_cast<float>((shifted & 0x7fffffu) + 0x3f3504f3u) - 1.0f;
  float p = 7.0376836292e-2f;
  p = fused(p, m, -1.1514610310e-1f);
  p = fused(p, m, 1.1676998740e-1f);
  p = fused(p, m, -1.2420140846e-1f);
  p = fused(p, m, 1.4249322787e-1f);
  p = fused(p, m, -1.6668057665e-1f);
  p = fused(p, m, 2.0000714765e-1f);
  p = fused(p, m, -2.4999993993e-1f);
  p = fused(p, m, 3.3333331174e-1f);
  const float m2 = m * m;
  float y = p * m2 * m;
  y = fused(e, -2.12194440e-4f, y);
  y = fused(-0.5f, m2, y);
  return fused(e, 0.693359375f, m + y);
}

// Cosine and sine of 2 pi u for u in [0, 1).
RUTILE_FN void cos_sin_turns(float u, float* c, float* s) {
  const int32_t quarter = static_cast<int32_t>(fused(u, 4.0f, 0.5f));
  const float t = fused(static_cast<float>(quarter), -0.25f, u) * 6.28318530717958648f;
  const float t2 = t * t;
  float ps = fused(t2, -1.9515295891e-4f, 8.3321608736e-3f);
  ps = fused(ps, t2, -1.6666654611e-1f);
  const float sine = fused(ps * t2, t, t);
  float pc = fused(t2, 2.443315711809948e-5f, -1.388731625493765e-3f);
  pc = fused(pc, t2, 4.166664568298827e-2f);
  const float cosine = fused(pc * t2, t2, fused(-0.5f, t2, 1.0f));
  const bool swap = quarter & 1;
  const float a = swap ? sine : cosine, b = swap ? cosine : sine;
  *c = ((quarter + 1) & 2) ? -a : a;
  *s = (quarter & 2) ? -b : b;
}

// Two independent normal numbers from two words.
RUTILE_FN void box_muller(uint32_t w0, uint32_t w1, float* n0, float* n1) {
  // In (0, 1]: the logarithm of 0 never comes up.
  const float u = static_cast<float>(static_cast<int32_t>((w0 >> 8) + 1)) * 0x1p-24f;
  const float r = __builtin_sqrtf(-2.0f * log_of_normal(u));
  float c, s;
  cos_sin_turns(word_to_unit(w1, 24), &c, &s);
  *n0 = r * c;
  *n1 = r * s;
}

// Inverse error function; Giles, "Approximating the erfinv function", GPU Computing Gems 2, 2011.
RUTILE_FN float erfinv(float x) {
  const float w = -log_of_normal((1.0f - x) * (1.0f + x));
  // Two polynomials, chosen coefficient by coefficient, so that loops vectorise.
  const bool near = w < 5.0f;
  const float root = __builtin_sqrtf(w > 0.0f ? w : 0.0f);
  const float a = (near ? w : root) - (near ? 2.5f : 3.0f);
  float p = near ? 2.81022636e-08f : -0.000200214257f;
  p = fused(p, a, near ? 3.43273939e-07f : 0.000100950558f);
  p = fused(p, a, near ? -3.5233877e-06f : 0.00134934322f);
  p = fused(p, a, near ? -4.39150654e-06f : -0.00367342844f);
  p = fused(p, a, near ? 0.00021858087f : 0.00573950773f);
  p = fused(p, a, near ? -0.00125372503f : -0.0076224613f);
  p = fused(p, a, near ? -0.00417768164f : 0.00943887047f);
  p = fused(p, a, near ? 0.246640727f : 1.00167406f);
  p = fused(p, a, near ? 1.50140941f : 2.83297682f);
  return p * x;
}

// The double versions are for one-off use (tests, f64 training) and go through libm.
RUTILE_FN void box_muller(uint64_t v0, uint64_t v1, double* n0, double* n1) {
  const double u = static_cast<double>((v0 >> 11) + 1) * 0x1p-53;
  const double t = static_cast<double>(v1 >> 11) * 0x1p-53 * 6.28318530717958647693;
  const double r = std::sqrt(-2 * std::log(u));
  *n0 = r * std::cos(t);
  *n1 = r * std::sin(t);
}
RUTILE_FN double erfinv(double x) {
  double y = erfinv(static_cast<float>(x < -0.999999 ? -0.999999 : x > 0.999999 ? 0.999999 : x));
  for (int i = 0; i < 4; ++i) {  // Newton; f32 is a good start
    y -= (std::erf(y) - x) / (1.12837916709551257390 * std::exp(-y * y));
  }
  return y;
}

}  // namespace rutile::kernels
