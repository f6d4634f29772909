// SPDX-License-Identifier: Apache-2.0
// Numbers drawn by rejection, for host and device code: each element has words of its own, by its
// logical index and the number of the attempt.
#pragma once

#include <array>
#include <cstdint>

#include "rutile/core/rng.h"
#include "rutile/kernels/functors.h"
#include "rutile/kernels/special_math.h"

namespace rutile::kernels::rejection {

using M = StdMath;

struct Words {
  PhiloxKey key;
  uint64_t element;
  RUTILE_FN std::array<uint32_t, 4> operator()(uint64_t attempt) const {
    return philox(key, element + (attempt << 40));
  }
};
inline constexpr uint64_t kLastAttempt = (uint64_t{1} << 24) - 1;

// In (0, 1), of two words and of one.
RUTILE_FN double uniform(uint32_t hi, uint32_t lo) { return uniform_f64(hi, lo) + 0x1p-54; }
RUTILE_FN double uniform(uint32_t w) { return (static_cast<double>(w) + 0.5) * 0x1p-32; }

// Marsaglia and Tsang, "A simple method for generating gamma variables", 2000.
RUTILE_FN double gamma(double alpha, const Words& words) {
  if (!(alpha > 0)) return __builtin_nan("");
  if (fn::is_inf(alpha)) return alpha;
  const double d = (alpha < 1 ? alpha + 1 : alpha) - 1.0 / 3, c = 1 / M::sqrt(9 * d);
  double v = 0;
  for (uint64_t attempt = 0; attempt < kLastAttempt; ++attempt) {
    const auto w = words(attempt);
    const double r = M::sqrt(-2 * M::log(uniform(w[0], w[1])));
    const double x = r * M::cos(6.28318530717958647693 * uniform(w[2])), t = 1 + c * x;
    if (t <= 0) continue;
    v = t * t * t;
    const double u = uniform(w[3]);
    if (u < 1 - 0.0331 * x * x * x * x) break;
    if (M::log(u) < 0.5 * x * x + d - d * v + d * M::log(v)) break;
  }
  if (alpha >= 1) return d * v;
  // Below 1: that of alpha + 1 times a power of a uniform number.
  const auto w = words(kLastAttempt);
  return M::exp(M::log(uniform(w[0], w[1])) / alpha) * d * v;
}

// Up to 10 the distribution function is searched; above, Hormann's transformed rejection ("The
// transformed rejection method for generating Poisson random variables", 1993).
RUTILE_FN double poisson(double rate, const Words& words) {
  if (!(rate >= 0)) return __builtin_nan("");
  if (rate > 1e15) return M::floor(rate);  // the deviation is below what a double tells apart
  if (rate < 10) {
    constexpr int kEnd = 150;  // less than a double tells from 1 lies beyond
    const auto w = words(0);
    const double u = uniform(w[0], w[1]);
    double p = M::exp(-rate), sum = p, k = 0;
    for (; u > sum && k < kEnd; sum += p) p *= rate / ++k;
    return k;
  }
  const double b = 0.931 + 2.53 * M::sqrt(rate), a = -0.059 + 0.02483 * b;
  const double inverse = 1.1239 + 1.1328 / (b - 3.4), fast = 0.9277 - 3.6224 / (b - 2);
  for (uint64_t attempt = 0; attempt < kLastAttempt; ++attempt) {
    const auto w = words(attempt);
    const double u = uniform(w[0], w[1]) - 0.5, v = uniform(w[2], w[3]);
    const double rest = 0.5 - (u < 0 ? -u : u);
    const double k = M::floor((2 * a / rest + b) * u + rate + 0.43);
    if (rest >= 0.07 && v <= fast) return k;
    if (k < 0 || (rest < 0.013 && v > rest)) continue;
    const double height = M::log(v * inverse / (a / (rest * rest) + b));
    if (height <= -rate + k * M::log(rate) - special::lgamma(k + 1)) return k;
  }
  return M::floor(rate);
}

}  // namespace rutile::kernels::rejection
