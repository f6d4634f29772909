// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cpu/isa/vec_math.h"
#include "rutile/kernels/cpu/rows.h"

namespace rutile::kernels::RUTILE_ISA {
namespace {

template <class T>
RUTILE_INLINE float row_max(const T* x, int64_t n) {
  Max4 max;
  for_vectors4(n, [&](int64_t i, int64_t lanes, int j) {
    const V16 v = get(x, i, lanes);
    max.m[j] = max16(lanes == 16 ? v : keep_lanes(v, lanes, -__builtin_inff()), max.m[j]);
  });
  return max.result();
}

template <bool kLog, class T>
void forward(const void* px, void* py, int64_t rows, int64_t n) {
  const T* x = static_cast<const T*>(px);
  T* y = static_cast<T*>(py);
  // The exponentials wait in y, or where that would round them, in a buffer if they fit.
  constexpr bool kWide = sizeof(T) == 4;
  constexpr int64_t kBuffer = 4096;
  float buffer[kWide || kLog ? 1 : kBuffer];
  const bool keep = !kLog && (kWide || n <= kBuffer);
  for (int64_t r = 0; r < rows; ++r, x += n, y += n) {
    float* e = kWide ? reinterpret_cast<float*>(y) : buffer;
    const float max = row_max(x, n);
    Sum4 sum;
    for_vectors4(n, [&](int64_t i, int64_t lanes, int j) {
      const V16 v = exp16(get(x, i, lanes) - max);
      if (keep) put(e, i, v, lanes);
      sum.s[j] += lanes == 16 ? v : keep_lanes(v, lanes, 0);
    });
    const float s = sum.result();
    const float shift = kLog ? max + __builtin_logf(s) : max, scale = 1.0f / s;
    for_vectors(n, [&](int64_t i, int64_t lanes) {
      if (keep) {
        put(y, i, get(e, i, lanes) * scale, lanes);
      } else {
        const V16 v = get(x, i, lanes) - shift;
        put(y, i, kLog ? v : exp16(v) * scale, lanes);
      }
    });
  }
}

template <bool kLog, class T>
void backward(const void* pg, const void* py, void* pdx, int64_t rows, int64_t n) {
  const T* g = static_cast<const T*>(pg);
  const T* y = static_cast<const T*>(py);
  T* dx = static_cast<T*>(pdx);
  for (int64_t r = 0; r < rows; ++r, g += n, y += n, dx += n) {
    Sum4 sum;
    for_vectors4(n, [&](int64_t i, int64_t lanes, int j) {  // lanes past the end are zero
      const V16 v = get(g, i, lanes);
      sum.s[j] += kLog ? v : v * get(y, i, lanes);
    });
    const float s = sum.result();
    for_vectors(n, [&](int64_t i, int64_t lanes) {
      const V16 gv = get(g, i, lanes), yv = get(y, i, lanes);
      put(dx, i, kLog ? gv - exp16(yv) * s : yv * (gv - s), lanes);
    });
  }
}

template <bool kLog, class T>
void forward_columns(const void* px, void* py, int64_t n, int64_t inner, int64_t begin,
                     int64_t end) {
  // Columns that fit are read once, into a buffer; those that do not, three times.
  constexpr int64_t kBuffer = 512;
  V16 buffer[kBuffer];
  const bool keep = n <= kBuffer;
  for_vectors(end - begin, [&](int64_t i, int64_t lanes) {
    const T* x = static_cast<const T*>(px) + begin + i;
    T* y = static_cast<T*>(py) + begin + i;
    V16 max = splat(-__builtin_inff()), sum{};
    for (int64_t k = 0; k < n; ++k) {
      const V16 v = get(x, k * inner, lanes);
      if (keep) buffer[k] = v;
      max = max16(v, max);
    }
    for (int64_t k = 0; k < n; ++k) {
      const V16 e = exp16((keep ? buffer[k] : get(x, k * inner, lanes)) - max);
      if (keep && !kLog) buffer[k] = e;
      sum += e;
    }
    const V16 scale = 1.0f / sum;
    V16 shift = max;
    if (kLog) {
      for (int l = 0; l < 16; ++l) shift[l] += __builtin_logf(sum[l]);
    }
    for (int64_t k = 0; k < n; ++k) {
      V16 v = keep ? buffer[k] : get(x, k * inner, lanes) - shift;
      if (kLog) {
        v = keep ? v - shift : v;
      } else {
        v = (keep ? v : exp16(v)) * scale;
      }
      put(y, k * inner, v, lanes);
    }
  });
}

template <bool kLog, class T>
void backward_columns(const void* pg, const void* py, void* pdx, int64_t n, int64_t inner,
                      int64_t begin, int64_t end) {
  for_vectors(end - begin, [&](int64_t i, int64_t lanes) {
    const T* g = static_cast<const T*>(pg) + begin + i;
    const T* y = static_cast<const T*>(py) + begin + i;
    T* dx = static_cast<T*>(pdx) + begin + i;
    V16 sum{};
    for (int64_t k = 0; k < n; ++k) {
      const V16 v = get(g, k * inner, lanes);
      sum += kLog ? v : v * get(y, k * inner, lanes);
    }
    for (int64_t k = 0; k < n; ++k) {
      const V16 gv = get(g, k * inner, lanes), yv = get(y, k * inner, lanes);
      put(dx, k * inner, kLog ? gv - exp16(yv) * sum : yv * (gv - sum), lanes);
    }
  });
}

template <bool kLog, class T>
SoftmaxKernels kernels() {
  return {forward<kLog, T>, backward<kLog, T>, forward_columns<kLog, T>, backward_columns<kLog, T>};
}

}  // namespace

SoftmaxKernels softmax_kernels(bool log, bool bf16) {
  if (log) return bf16 ? kernels<true, BFloat16>() : kernels<true, float>();
  return bf16 ? kernels<false, BFloat16>() : kernels<false, float>();
}

}  // namespace rutile::kernels::RUTILE_ISA
