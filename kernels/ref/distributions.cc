// SPDX-License-Identifier: Apache-2.0
// Distributions by rejection: each element has words of its own, by its logical index.
#include "rutile/ops/distributions.h"

#include <cmath>
#include <limits>

#include "rutile/core/rng.h"
#include "rutile/core/thread_cost.h"
#include "rutile/kernels/ref/ref_plan.h"
#include "rutile/kernels/register.h"

namespace rutile::kernels {
namespace {

// The words of one element, by the number of the attempt.
class Stream {
 public:
  Stream(PhiloxKey key, uint64_t element) : key_(key), element_(element) {}
  std::array<uint32_t, 4> words(uint64_t attempt) const {
    return philox(key_, element_ + (attempt << 40));
  }

 private:
  PhiloxKey key_;
  uint64_t element_;
};
constexpr uint64_t kLastAttempt = (uint64_t{1} << 24) - 1;

// In (0, 1), of two words and of one.
double uniform(uint32_t hi, uint32_t lo) { return uniform_f64(hi, lo) + 0x1p-54; }
double uniform(uint32_t w) { return (static_cast<double>(w) + 0.5) * 0x1p-32; }

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// Marsaglia and Tsang, "A simple method for generating gamma variables", 2000.
double draw_gamma(double alpha, const Stream& s) {
  if (!(alpha > 0)) return kNan;
  if (std::isinf(alpha)) return alpha;
  const double d = (alpha < 1 ? alpha + 1 : alpha) - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  double v = 0;
  for (uint64_t attempt = 0; attempt < kLastAttempt; ++attempt) {
    const auto w = s.words(attempt);
    const double r = std::sqrt(-2 * std::log(uniform(w[0], w[1])));
    const double x = r * std::cos(6.28318530717958647693 * uniform(w[2])), t = 1 + c * x;
    if (t <= 0) continue;
    v = t * t * t;
    const double u = uniform(w[3]);
    if (u < 1 - 0.0331 * x * x * x * x) break;
    if (std::log(u) < 0.5 * x * x + d - d * v + d * std::log(v)) break;
  }
  if (alpha >= 1) return d * v;
  // Below 1: that of alpha + 1 times a power of a uniform number.
  const auto w = s.words(kLastAttempt);
  return std::exp(std::log(uniform(w[0], w[1])) / alpha) * d * v;
}

// Up to 10 the distribution function is searched; above, Hormann's transformed rejection ("The
// transformed rejection method for generating Poisson random variables", 1993).
double draw_poisson(double rate, const Stream& s) {
  if (!(rate >= 0)) return kNan;
  if (rate > 1e15) return std::floor(rate);  // the deviation is below what a double tells apart
  if (rate < 10) {
    constexpr int kEnd = 150;  // less than a double tells from 1 lies beyond
    const auto w = s.words(0);
    const double u = uniform(w[0], w[1]);
    double p = std::exp(-rate), sum = p, k = 0;
    for (; u > sum && k < kEnd; sum += p) p *= rate / ++k;
    return k;
  }
  const double b = 0.931 + 2.53 * std::sqrt(rate), a = -0.059 + 0.02483 * b;
  const double inverse = 1.1239 + 1.1328 / (b - 3.4), fast = 0.9277 - 3.6224 / (b - 2);
  for (uint64_t attempt = 0; attempt < kLastAttempt; ++attempt) {
    const auto w = s.words(attempt);
    const double u = uniform(w[0], w[1]) - 0.5, v = uniform(w[2], w[3]), rest = 0.5 - std::abs(u);
    const double k = std::floor((2 * a / rest + b) * u + rate + 0.43);
    if (rest >= 0.07 && v <= fast) return k;
    if (k < 0 || (rest < 0.013 && v > rest)) continue;
    const double height = std::log(v * inverse / (a / (rest * rest) + b));
    if (height <= -rate + k * std::log(rate) - special::lgamma(k + 1)) return k;
  }
  return std::floor(rate);
}

template <double kDraw(double, const Stream&)>
Status run_draw(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const PhiloxKey key{*static_cast<const uint64_t*>(args.in[0])};
  const TensorMeta& parameter = p.in[1];
  const Elements in = input(p, args, 1), out = output(p, args);
  constexpr double kElementNs = 50;
  parallel_for(0, parameter.numel(), grain_for(kElementNs), [&](int64_t begin, int64_t end) {
    Walk w(parameter.shape, parameter.strides, begin);
    for (int64_t i = begin; i < end; ++i, w.next()) {
      out.put(i, kDraw(in.get(w.offset()), Stream(key, static_cast<uint64_t>(i))));
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
