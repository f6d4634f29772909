// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cuda/draws.h"

#include "rutile/core/rng.h"
#include "rutile/kernels/cuda/values.h"
#include "rutile/kernels/functors.h"
#include "rutile/kernels/special_math.h"

namespace rutile::cuda {
namespace {

using M = kernels::StdMath;

// Each element has a stream of its own, as in kernels/ref/distributions.cc.
struct Numbers {
  PhiloxKey key;
  uint64_t counter = 0;
  int next = 4;
  uint32_t words[4] = {};

  RUTILE_FN double uniform() {  // in (0, 1)
    if (next == 4) {
      const auto w = philox(key, counter++);
      for (int i = 0; i < 4; ++i) words[i] = w[static_cast<size_t>(i)];
      next = 0;
    }
    const double u = uniform_f64(words[next], words[next + 1]);
    next += 2;
    return u + 0x1p-54;
  }
  RUTILE_FN double normal() {
    const double r = M::sqrt(-2 * M::log(uniform()));
    return r * M::cos(6.28318530717958647693 * uniform());
  }
};

RUTILE_FN double draw_gamma(double alpha, Numbers* s) {
  if (!(alpha > 0)) return __builtin_nan("");
  if (kernels::fn::is_inf(alpha)) return alpha;
  const double boost = alpha < 1 ? M::exp(M::log(s->uniform()) / alpha) : 1;
  const double d = (alpha < 1 ? alpha + 1 : alpha) - 1.0 / 3, c = 1 / M::sqrt(9 * d);
  while (true) {
    const double x = s->normal(), t = 1 + c * x;
    if (t <= 0) continue;
    const double v = t * t * t;
    if (M::log(s->uniform()) < 0.5 * x * x + d - d * v + d * M::log(v)) return boost * d * v;
  }
}

RUTILE_FN double draw_poisson(double rate, Numbers* s) {
  if (!(rate >= 0)) return __builtin_nan("");
  if (rate > 1e15) return M::floor(rate);
  if (rate < 10) {
    const double end = M::exp(-rate);
    double k = 0;
    for (double p = s->uniform(); p > end; p *= s->uniform()) ++k;
    return k;
  }
  const double b = 0.931 + 2.53 * M::sqrt(rate), a = -0.059 + 0.02483 * b;
  const double inverse = 1.1239 + 1.1328 / (b - 3.4), fast = 0.9277 - 3.6224 / (b - 2);
  while (true) {
    const double u = s->uniform() - 0.5, v = s->uniform(), rest = 0.5 - (u < 0 ? -u : u);
    const double k = M::floor((2 * a / rest + b) * u + rate + 0.43);
    if (rest >= 0.07 && v <= fast) return k;
    if (k < 0 || (rest < 0.013 && v > rest)) continue;
    const double height = M::log(v * inverse / (a / (rest * rest) + b));
    if (height <= -rate + k * M::log(rate) - kernels::special::lgamma(k + 1)) return k;
  }
}

__global__ void __launch_bounds__(kCoverThreads) draw(RUTILE_PARAM DrawArgs a) {
  const int64_t i = thread_number();
  if (i >= a.n) return;
  Numbers s{fold_in(PhiloxKey{*a.key}, static_cast<uint64_t>(i))};
  const double p = load_any<double>(a.in_type, a.parameter, a.at.find_one(i));
  store_any<double>(a.out_type, a.y, i,
                    a.draw == Draw::kGamma ? draw_gamma(p, &s) : draw_poisson(p, &s));
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
