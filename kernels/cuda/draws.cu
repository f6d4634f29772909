// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cuda/draws.h"

#include "rutile/kernels/cuda/values.h"
#include "rutile/kernels/rejection.h"

namespace rutile::cuda {
namespace {

__global__ void __launch_bounds__(kCoverThreads) draw(RUTILE_PARAM DrawArgs a) {
  const int64_t i = thread_number();
  if (i >= a.n) return;
  const kernels::rejection::Words words{PhiloxKey{*a.key}, static_cast<uint64_t>(i)};
  const double p = load_any<double>(a.in_type, a.parameter, a.at.find_one(i));
  store_any<double>(a.out_type, a.y, i,
                    a.draw == Draw::kGamma ? kernels::rejection::gamma(p, words)
                                           : kernels::rejection::poisson(p, words));
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
