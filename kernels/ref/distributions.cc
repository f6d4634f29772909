// SPDX-License-Identifier: Apache-2.0
// Distributions by rejection: each element has a stream of its own, the words of the child key with
// the element's logical index.
#include "rutile/ops/distributions.h"

#include <cmath>
#include <limits>

#include "rutile/core/rng.h"
#include "rutile/core/thread_cost.h"
#include "rutile/kernels/ref/ref_plan.h"
#include "rutile/kernels/register.h"

namespace rutile::kernels {
namespace {

class Stream {
 public:
  explicit Stream(PhiloxKey key) : key_(key) {}
  // In (0, 1).
  double uniform() {
    if (next_ == 4) {
      words_ = philox(key_, counter_++);
      next_ = 0;
    }
    const double u = uniform_f64(words_[next_], words_[next_ + 1]);
    next_ += 2;
    return u + 0x1p-54;
  }
  double normal() {  // one of a pair: the other is not kept
    const double r = std::sqrt(-2 * std::log(uniform()));
    return r * std::cos(6.28318530717958647693 * uniform());
  }

 private:
  PhiloxKey key_;
  uint64_t counter_ = 0;
  size_t next_ = 4;
  std::array<uint32_t, 4> words_{};
};

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

double draw_gamma(double alpha, Stream* s) {
  if (!(alpha > 0)) return kNan;
  if (std::isinf(alpha)) return alpha;
  // Below 1: that of alpha + 1 times a power of a uniform number.
  const double boost = alpha < 1 ? std::exp(std::log(s->uniform()) / alpha) : 1;
  const double d = (alpha < 1 ? alpha + 1 : alpha) - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  while (true) {
    const double x = s->normal(), t = 1 + c * x;
    if (t <= 0) continue;
    const double v = t * t * t;
    if (std::log(s->uniform()) < 0.5 * x * x + d - d * v + d * std::log(v)) return boost * d * v;
  }
}

double draw_poisson(double rate, Stream* s) {
  if (!(rate >= 0)) return kNan;
  if (rate > 1e15) return std::floor(rate);  // the deviation is below what a double tells apart
  if (rate < 10) {
    const double end = std::exp(-rate);
    double k = 0;
    for (double p = s->uniform(); p > end; p *= s->uniform()) ++k;
    return k;
  }
  const double b = 0.931 + 2.53 * std::sqrt(rate), a = -0.059 + 0.02483 * b;
  const double inverse = 1.1239 + 1.1328 / (b - 3.4), fast = 0.9277 - 3.6224 / (b - 2);
  while (true) {
    const double u = s->uniform() - 0.5, v = s->uniform(), rest = 0.5 - std::abs(u);
    const double k = std::floor((2 * a / rest + b) * u + rate + 0.43);
    if (rest >= 0.07 && v <= fast) return k;
    if (k < 0 || (rest < 0.013 && v > rest)) continue;
    const double height = std::log(v * inverse / (a / (rest * rest) + b));
    if (height <= -rate + k * std::log(rate) - special::lgamma(k + 1)) return k;
  }
}

template <double kDraw(double, Stream*)>
Status run_draw(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const PhiloxKey key{*static_cast<const uint64_t*>(args.in[0])};
  const TensorMeta& parameter = p.in[1];
  const Elements in = input(p, args, 1), out = output(p, args);
  constexpr double kElementNs = 100;
  parallel_for(0, parameter.numel(), grain_for(kElementNs), [&](int64_t begin, int64_t end) {
    Walk w(parameter.shape, parameter.strides, begin);
    for (int64_t i = begin; i < end; ++i, w.next()) {
      Stream s(fold_in(key, static_cast<uint64_t>(i)));
      out.put(i, kDraw(in.get(w.offset()), &s));
    }
  });
  return Status();
}

}  // namespace

void register_distributions_ref() {
  register_kernel(ref_row<run_draw<draw_gamma>>(ops::kRandomGamma));
  register_kernel(ref_row<run_draw<draw_poisson>>(ops::kRandomPoisson));
}

}  // namespace rutile::kernels
