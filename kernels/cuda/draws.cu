// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cuda/draws.h"

#include "rutile/core/rng.h"
#include "rutile/kernels/cuda/values.h"
#include "rutile/kernels/functors.h"
#include "rutile/kernels/special_math.h"

namespace rutile::cuda {
namespace {

using M = kernels::StdMath;

// The words of an element by the number of the attempt, as in kernels/ref/distributions.cc.
struct Words {
  PhiloxKey key;
  uint64_t element;
  RUTILE_FN std::array<uint32_t, 4> operator()(uint64_t attempt) const {
    return philox(key, element + (attempt << 40));
  }
};
constexpr uint64_t kLastAttempt = (uint64_t{1} << 24) - 1;

// In (0, 1), of two words and of one.
RUTILE_FN double uniform(uint32_t hi, uint32_t lo) { return uniform_f64(hi, lo) + 0x1p-54; }
RUTILE_FN double uniform(uint32_t w) { return (static_cast<double>(w) + 0.5) * 0x1p-32; }

RUTILE_FN double draw_gamma(double alpha, const Words& words) {
  if (!(alpha > 0)) return __builtin_nan("");
  if (kernels::fn::is_inf(alpha)) return alpha;
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
  const auto w = words(kLastAttempt);
  return M::exp(M::log(uniform(w[0], w[1])) / alpha) * d * v;
}

RUTILE_FN double draw_poisson(double rate, const Words& words) {
  if (!(rate >= 0)) return __builtin_nan("");
  if (rate > 1e15) return M::floor(rate);
  if (rate < 10) {
    constexpr int kEnd = 150;
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
    if (height <= -rate + k * M::log(rate) - kernels::special::lgamma(k + 1)) return k;
  }
  return M::floor(rate);
}

__global__ void __launch_bounds__(kCoverThreads) draw(RUTILE_PARAM DrawArgs a) {
  const int64_t i = thread_number();
  if (i >= a.n) return;
  const Words words{PhiloxKey{*a.key}, static_cast<uint64_t>(i)};
  const double p = load_any<double>(a.in_type, a.parameter, a.at.find_one(i));
  store_any<double>(a.out_type, a.y, i,
                    a.draw == Draw::kGamma ? draw_gamma(p, words) : draw_poisson(p, words));
}

// A thread a line, or an element where lines do not matter.
__global__ void __launch_bounds__(kCoverThreads) require(RUTILE_PARAM RequireArgs a) {
  const int64_t line = thread_number();
  if (line >= a.lines) return;
  int64_t positive = 0;
  for (int64_t k = 0; k < a.length; ++k) {
    const int64_t i = line * a.length + k;
    const double v = load_any<double>(a.type, a.x, a.at.find_one(i));
    if (!(v >= a.low && v <= a.high)) a.fault.raise_number(v, a.low, a.high, a.name);
    positive += v > 0;
    store_any<double>(a.type, a.y, i, v);
  }
  if (positive < a.positive) a.fault.raise_few(positive, a.positive, a.name);
}

}  // namespace

int launch_draw(const DrawArgs& a, Stream stream) { return launch(draw, cover(a.n), stream, a); }
int launch_require(const RequireArgs& a, Stream stream) {
  return launch(require, cover(a.lines), stream, a);
}

}  // namespace rutile::cuda
