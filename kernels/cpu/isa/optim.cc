// SPDX-License-Identifier: Apache-2.0
// Optimizer updates: one pass over parameter, slots and gradient, bound by memory.
#include "rutile/kernels/cpu/optim.h"

#include "rutile/kernels/cpu/isa/vec_math.h"

namespace rutile::kernels::RUTILE_ISA {
namespace {

template <class G>
void sgd(const UpdateRun& u, const UpdateNumbers& k) {
  const G* grad = static_cast<const G*>(u.grad);
  for_vectors(u.count, [&](int64_t i, int64_t lanes) {
    const V16 p = get(u.param, i, lanes);
    const V16 g = get(grad, i, lanes) + p * k.decay;
    put(u.param, i, p - g * k.lr, lanes);
  });
}

template <class G>
void momentum(const UpdateRun& u, const UpdateNumbers& k) {
  const G* grad = static_cast<const G*>(u.grad);
  for_vectors(u.count, [&](int64_t i, int64_t lanes) {
    const V16 p = get(u.param, i, lanes);
    const V16 g = get(grad, i, lanes) + p * k.decay;
    const V16 v = get(u.slot1, i, lanes) * k.beta1 + g * k.take1;
    put(u.slot1, i, v, lanes);
    const V16 step = k.nesterov ? g + v * k.beta1 : v;
    put(u.param, i, p - step * k.lr, lanes);
  });
}

template <class G>
void adam(const UpdateRun& u, const UpdateNumbers& k) {
  const G* grad = static_cast<const G*>(u.grad);
  for_vectors(u.count, [&](int64_t i, int64_t lanes) {
    const V16 p = get(u.param, i, lanes);
    const V16 g = get(grad, i, lanes) + p * k.decay;
    const V16 m = get(u.slot1, i, lanes) * k.beta1 + g * k.take1;
    const V16 v = get(u.slot2, i, lanes) * k.beta2 + g * (g * k.take2);
    put(u.slot1, i, m, lanes);
    put(u.slot2, i, v, lanes);
    put(u.param, i, p * k.shrink - m * k.lr / (sqrt16(v) * k.root + k.eps), lanes);
  });
}

template <class T>
double squares(const void* px, int64_t n) {
  const T* x = static_cast<const T*>(px);
  double sum = 0;
  for (int64_t begin = 0; begin < n; begin += 4096) {
    V16 s{};
    for_vectors(n - begin < 4096 ? n - begin : 4096, [&](int64_t i, int64_t lanes) {
      const V16 v = get(x, begin + i, lanes);
      s += v * v;
    });
    for (int i = 0; i < 16; ++i) sum += static_cast<double>(s[i]);
  }
  if (sum <= 1.7e308) return sum;
  sum = 0;  // squares beyond f32, or inf and NaN
  for (int64_t i = 0; i < n; ++i) {
    const double v = static_cast<float>(x[i]);
    sum += v * v;
  }
  return sum;
}

template <class T>
bool unscale(const void* px, float factor, float* y, int64_t n) {
  const T* x = static_cast<const T*>(px);
  V16 bad{};  // x - x is NaN for inf and NaN, else 0
  for_vectors(n, [&](int64_t i, int64_t lanes) {
    const V16 v = get(x, i, lanes);
    bad += v - v;
    put(y, i, v * factor, lanes);
  });
  for (int i = 0; i < 16; ++i) {
    if (bad[i] != bad[i]) return true;
  }
  return false;
}

}  // namespace

UpdateKernels update_kernels(bool bf16_grad) {
  if (bf16_grad) return {sgd<BFloat16>, momentum<BFloat16>, adam<BFloat16>};
  return {sgd<float>, momentum<float>, adam<float>};
}

NormScan norm_scan(bool bf16) {
  if (bf16) return {squares<BFloat16>, unscale<BFloat16>};
  return {squares<float>, unscale<float>};
}

}  // namespace rutile::kernels::RUTILE_ISA
