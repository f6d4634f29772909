// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cpu/resample.h"

#include "rutile/kernels/cpu/isa/vec_math.h"

namespace rutile::kernels::RUTILE_ISA {
namespace {

template <class From, class To>
void lines(const ResampleLines& a, int64_t begin, int64_t end) {
  for (int64_t task = begin; task < end; ++task) {
    const int64_t o = task % a.out;
    const From* from = static_cast<const From*>(a.x) + task / a.out * a.in * a.inner;
    To* to = static_cast<To*>(a.y) + task * a.inner;
    const int64_t first = a.first[o], last = a.first[o + 1];
    if (last - first == 2) {  // linear functions
      const From* p = from + a.pixel[first] * a.inner;
      const From* q = from + a.pixel[first + 1] * a.inner;
      const float v = a.weight[first], w = a.weight[first + 1];
      for_vectors(a.inner, [&](int64_t i, int64_t n) {
        put(to, i, v * get(p, i, n) + w * get(q, i, n), n);
      });
      continue;
    }
    for_vectors(a.inner, [&](int64_t i, int64_t n) {
      V16 sum{};
      for (int64_t k = first; k < last; ++k) {
        sum += a.weight[k] * get(from + a.pixel[k] * a.inner, i, n);
      }
      put(to, i, sum, n);
    });
  }
}

template <class T>
void max_window(const MaxWindow& a, const void* image, void* y, int32_t* indices) {
  const T* x = static_cast<const T*>(image);
  V16 best = splat(-__builtin_inff());
  I16 where = I16{} - 1;
  for (int64_t i = 0; i < a.num_depths; ++i) {
    for (int64_t j = 0; j < a.num_rows; ++j) {
      const int64_t line = (a.depths[i] * a.height + a.rows[j]) * a.width;
      for (int64_t k = 0; k < a.num_columns; ++k) {
        const int64_t pixel = line + a.columns[k];
        const V16 v = load(x + pixel * a.step);
        const I16 take = (v > best) | (v != v) | (where < 0);
        best = take ? v : best;
        where = take ? I16{} + static_cast<int32_t>(pixel) : where;
      }
    }
  }
  store(static_cast<T*>(y), best);
  for (int l = 0; l < 16; ++l) indices[l] = where[l];
}

}  // namespace

ResampleFn resample_kernel(bool from_bf16, bool to_bf16) {
  if (from_bf16) return to_bf16 ? lines<BFloat16, BFloat16> : lines<BFloat16, float>;
  return to_bf16 ? lines<float, BFloat16> : lines<float, float>;
}

MaxWindowFn max_window_kernel(bool bf16) { return bf16 ? max_window<BFloat16> : max_window<float>; }

}  // namespace rutile::kernels::RUTILE_ISA
