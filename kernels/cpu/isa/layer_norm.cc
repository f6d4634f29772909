// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cpu/isa/vec_math.h"
#include "rutile/kernels/cpu/rows.h"

namespace rutile::kernels::RUTILE_ISA {
namespace {

template <bool kRms, class T>
void forward(const NormArgs& a, int64_t begin, int64_t end) {
  const int64_t n = a.width;
  const double scale = 1.0 / static_cast<double>(n);
  for (int64_t r = begin; r < end; ++r) {
    const T* x = static_cast<const T*>(a.x) + r * n;
    T* y = static_cast<T*>(a.y) + r * n;
    float mean = 0;
    if (!kRms) {
      Sum4 sum;
      for_vectors4(n, [&](int64_t i, int64_t lanes, int j) { sum.s[j] += get(x, i, lanes); });
      mean = static_cast<float>(sum.result() * scale);
      a.mean[r] = mean;
    }
    Sum4 square;
    for_vectors4(n, [&](int64_t i, int64_t lanes, int j) {
      const V16 d = get(x, i, lanes) - mean;
      square.s[j] += lanes == 16 ? d * d : keep_lanes(d * d, lanes, 0);
    });
    const float rstd = static_cast<float>(1.0 / __builtin_sqrt(square.result() * scale + a.eps));
    a.rstd[r] = rstd;
    for_vectors(n, [&](int64_t i, int64_t lanes) {
      V16 v = (get(x, i, lanes) - mean) * rstd;
      if (a.weight) v *= get(a.weight, i, lanes);
      if (a.bias) v += get(a.bias, i, lanes);
      put(y, i, v, lanes);
    });
  }
}

template <bool kRms, class T>
void backward(const NormArgs& a, int64_t begin, int64_t end, float* dweight, float* dbias) {
  const int64_t n = a.width;
  const float scale = 1.0f / static_cast<float>(n);
  for (int64_t r = begin; r < end; ++r) {
    const T* x = static_cast<const T*>(a.x) + r * n;
    const T* g = static_cast<const T*>(a.grad) + r * n;
    T* dx = static_cast<T*>(a.dx) + r * n;
    const float mean = kRms ? 0 : a.mean[r], rstd = a.rstd[r];
    Sum4 sum_g, sum_gx;
    for_vectors4(n, [&](int64_t i, int64_t lanes, int j) {  // lanes of g past the end are zero
      const V16 gv = get(g, i, lanes), xhat = (get(x, i, lanes) - mean) * rstd;
      put(dweight, i, get(dweight, i, lanes) + gv * xhat, lanes);
      if (!kRms) put(dbias, i, get(dbias, i, lanes) + gv, lanes);
      const V16 gw = a.weight ? gv * get(a.weight, i, lanes) : gv;
      if (!kRms) sum_g.s[j] += gw;
      sum_gx.s[j] += gw * xhat;
    });
    const float c1 = kRms ? 0 : sum_g.result() * scale, c2 = sum_gx.result() * scale;
    for_vectors(n, [&](int64_t i, int64_t lanes) {
      const V16 gv = get(g, i, lanes), xhat = (get(x, i, lanes) - mean) * rstd;
      const V16 gw = a.weight ? gv * get(a.weight, i, lanes) : gv;
      put(dx, i, (gw - c1 - xhat * c2) * rstd, lanes);
    });
  }
}

}  // namespace

NormKernels norm_kernels(bool rms, bool bf16) {
  if (rms) {
    return bf16 ? NormKernels{forward<true, BFloat16>, backward<true, BFloat16>}
                : NormKernels{forward<true, float>, backward<true, float>};
  }
  return bf16 ? NormKernels{forward<false, BFloat16>, backward<false, BFloat16>}
              : NormKernels{forward<false, float>, backward<false, float>};
}

}  // namespace rutile::kernels::RUTILE_ISA
