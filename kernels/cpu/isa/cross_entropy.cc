// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cpu/isa/vec_math.h"
#include "rutile/kernels/cpu/rows.h"

namespace rutile::kernels::RUTILE_ISA {
namespace {

RUTILE_INLINE int64_t label_at(const CrossEntropyArgs& a, int64_t r) {
  return a.labels64 ? static_cast<const int64_t*>(a.labels)[r]
                    : static_cast<const int32_t*>(a.labels)[r];
}
RUTILE_INLINE float weight_at(const CrossEntropyArgs& a, int64_t k) {
  return a.weight ? a.weight[k] : 1.0f;
}

template <class T>
void forward(const CrossEntropyArgs& a, int64_t begin, int64_t end) {
  const int64_t n = a.classes;
  const float part = a.smoothing / static_cast<float>(n);
  for (int64_t r = begin; r < end; ++r) {
    const T* x = static_cast<const T*>(a.logits) + r * n;
    Max4 largest;
    for_vectors4(n, [&](int64_t i, int64_t lanes, int j) {
      const V16 v = get(x, i, lanes);
      largest.m[j] = max16(lanes == 16 ? v : keep_lanes(v, lanes, -__builtin_inff()), largest.m[j]);
    });
    const float max = largest.result();
    Sum4 sum, smooth;  // of exp(x - max), and of w (x - max)
    for_vectors4(n, [&](int64_t i, int64_t lanes, int j) {
      const V16 v = get(x, i, lanes) - max;
      const V16 e = exp16(v);
      sum.s[j] += lanes == 16 ? e : keep_lanes(e, lanes, 0);
      if (part == 0) return;
      const V16 wv = a.weight ? get(a.weight, i, lanes) * v : v;
      smooth.s[j] += lanes == 16 ? wv : keep_lanes(wv, lanes, 0);
    });
    const float log_sum = __builtin_logf(sum.result());
    a.lse[r] = max + log_sum;
    const int64_t y = label_at(a, r);
    if (y == a.ignore) {
      a.loss[r] = 0;
      continue;
    }
    float loss = (1 - a.smoothing) * weight_at(a, y) * (log_sum - (static_cast<float>(x[y]) - max));
    if (part != 0) loss += part * (log_sum * a.total_weight - smooth.result());
    a.loss[r] = loss;
  }
}

template <class T>
void backward(const CrossEntropyArgs& a, int64_t begin, int64_t end) {
  const int64_t n = a.classes;
  const float part = a.smoothing / static_cast<float>(n);
  for (int64_t r = begin; r < end; ++r) {
    const T* x = static_cast<const T*>(a.logits) + r * n;
    T* dx = static_cast<T*>(a.dlogits) + r * n;
    const int64_t y = label_at(a, r);
    if (y == a.ignore) {
      for (int64_t k = 0; k < n; ++k) dx[k] = T(0.0f);
      continue;
    }
    const float scale = a.scale * (a.grad_each ? a.grad[r] : a.grad[0]), lse = a.lse[r];
    const float hot = (1 - a.smoothing) * weight_at(a, y);
    const float p = __builtin_expf(static_cast<float>(x[y]) - lse);  // dx may replace x
    const float all = scale * (hot + part * a.total_weight), each = scale * part;
    for_vectors(n, [&](int64_t i, int64_t lanes) {
      V16 d = exp16(get(x, i, lanes) - lse) * all;
      if (part != 0) d -= a.weight ? get(a.weight, i, lanes) * each : splat(each);
      put(dx, i, d, lanes);
    });
    dx[y] = T(p * all - (part != 0 ? weight_at(a, y) * each : 0.0f) - scale * hot);
  }
}

// Per-lane label data of up to 16 neighbouring rows.
struct Lanes {
  I16 label{};
  V16 hot{}, used{};
};
RUTILE_INLINE Lanes lanes_of(const CrossEntropyArgs& a, int64_t r, int64_t lanes) {
  Lanes l;
  l.label = I16{} - 1;
  for (int64_t i = 0; i < lanes; ++i) {
    const int64_t y = label_at(a, r + i);
    if (y == a.ignore) continue;
    l.label[i] = static_cast<int32_t>(y);
    l.hot[i] = (1 - a.smoothing) * weight_at(a, y);
    l.used[i] = 1;
  }
  return l;
}

template <class T>
void forward_columns(const CrossEntropyArgs& a, int64_t begin, int64_t end) {
  const float part = a.smoothing / static_cast<float>(a.classes);
  for_vectors(end - begin, [&](int64_t i, int64_t lanes) {
    const int64_t r = begin + i;
    const T* x = static_cast<const T*>(a.logits) + r;
    const Lanes l = lanes_of(a, r, lanes);
    V16 max = splat(-__builtin_inff()), sum{}, smooth{}, picked{};
    for (int64_t k = 0; k < a.classes; ++k) max = max16(get(x, k * a.stride, lanes), max);
    for (int64_t k = 0; k < a.classes; ++k) {
      const V16 v = get(x, k * a.stride, lanes) - max;
      sum += exp16(v);
      if (part != 0) smooth += v * weight_at(a, k);
      picked = l.label == static_cast<int32_t>(k) ? v : picked;
    }
    V16 log_sum{};
    for (int64_t j = 0; j < lanes; ++j) log_sum[j] = __builtin_logf(sum[j]);
    put(a.lse, r, max + log_sum, lanes);
    V16 loss = l.hot * (log_sum - picked);
    if (part != 0) loss += part * (log_sum * a.total_weight - smooth);
    put(a.loss, r, l.used > 0.0f ? loss : V16{}, lanes);
  });
}

template <class T>
void backward_columns(const CrossEntropyArgs& a, int64_t begin, int64_t end) {
  const float part = a.smoothing / static_cast<float>(a.classes);
  for_vectors(end - begin, [&](int64_t i, int64_t lanes) {
    const int64_t r = begin + i;
    const T* x = static_cast<const T*>(a.logits) + r;
    T* dx = static_cast<T*>(a.dlogits) + r;
    const Lanes l = lanes_of(a, r, lanes);
    const V16 scale = a.grad_each ? get(a.grad, r, lanes) * a.scale : splat(a.grad[0] * a.scale);
    const V16 lse = get(a.lse, r, lanes);
    for (int64_t k = 0; k < a.classes; ++k) {
      const V16 p = exp16(get(x, k * a.stride, lanes) - lse);
      const float wk = part * weight_at(a, k);
      const V16 target = (l.label == static_cast<int32_t>(k) ? l.hot : V16{}) + wk;
      const V16 d = scale * (p * (l.hot + part * a.total_weight) - target);
      put(dx, k * a.stride, l.used > 0.0f ? d : V16{}, lanes);
    }
  });
}

template <class T>
CrossEntropyKernels kernels() {
  return {forward<T>, backward<T>, forward_columns<T>, backward_columns<T>};
}

}  // namespace

CrossEntropyKernels cross_entropy_kernels(bool bf16) {
  return bf16 ? kernels<BFloat16>() : kernels<float>();
}

}  // namespace rutile::kernels::RUTILE_ISA
