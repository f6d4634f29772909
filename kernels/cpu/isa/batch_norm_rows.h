// SPDX-License-Identifier: Apache-2.0
// Batch norm of channels-last images: all channels of a pixel, row by row.
#pragma once

#include "rutile/kernels/cpu/isa/batch_norm_groups.h"

namespace rutile::kernels::RUTILE_ISA {
namespace {

// Channels-last: threads take runs of pixels, sums of all channels at once; partial sums are
// combined in thread order, so the result depends on the thread count only.
struct Rows {
  int64_t pixels, channels, per_thread;
  int threads;
};
Rows rows_of(const BatchNormShape& s, int threads) {
  Rows r{s.count(), s.channels, 0, threads};
  r.per_thread = (r.pixels + threads - 1) / threads;
  return r;
}

// Vectors whose sums registers hold at once.
#if defined(__AVX512F__)
constexpr int kWide = 8;
#else
constexpr int kWide = 4;
#endif

// Adds to `sums` those over pixels p0 to p1 of kVectors neighbours from channel k on.
template <int kVectors, class F>
inline __attribute__((always_inline)) void sum_columns(int64_t c, int64_t p0, int64_t p1, int64_t k,
                                                       int64_t lanes, float* sums, const F& f) {
  V16 a[kVectors], b[kVectors];
  for (int j = 0; j < kVectors; ++j) {
    a[j] = get(sums, k + 16 * j, lanes);
    b[j] = get(sums, c + k + 16 * j, lanes);
  }
  for (int64_t p = p0; p < p1; ++p) {
    for (int j = 0; j < kVectors; ++j) {
      V16 u, v;
      f(p * c + k + 16 * j, k + 16 * j, lanes, &u, &v);
      a[j] += u;
      b[j] += v;
    }
  }
  for (int j = 0; j < kVectors; ++j) {
    put(sums, k + 16 * j, a[j], lanes);
    put(sums, c + k + 16 * j, b[j], lanes);
  }
}

// Adds two sums by channel over the thread's pixels into `total`, f(offset, channel, lanes) giving
// the two terms: in f32 within kChunk pixels, in f64 beyond. Few pixels at a time go through
// registers, so that memory is read in its order.
template <class F>
void sum_rows(const Rows& r, int64_t begin, int64_t end, float* sums, double* total, const F& f) {
  constexpr int64_t kPixels = 4;
  const int64_t c = r.channels;
  for (int64_t p0 = begin; p0 < end; p0 += kChunk) {
    const int64_t chunk_end = p0 + kChunk < end ? p0 + kChunk : end;
    for (int64_t i = 0; i < 2 * c; ++i) sums[i] = 0;
    for (int64_t p = p0; p < chunk_end; p += kPixels) {
      const int64_t p1 = p + kPixels < chunk_end ? p + kPixels : chunk_end;
      int64_t k = 0;
      for (; k + 16 * kWide <= c; k += 16 * kWide) sum_columns<kWide>(c, p, p1, k, 16, sums, f);
      for (; k + 8 * kWide <= c; k += 8 * kWide) sum_columns<kWide / 2>(c, p, p1, k, 16, sums, f);
      for (; k + 16 <= c; k += 16) sum_columns<1>(c, p, p1, k, 16, sums, f);
      if (k < c) sum_columns<1>(c, p, p1, k, c - k, sums, f);
    }
    for (int64_t i = 0; i < 2 * c; ++i) total[i] += static_cast<double>(sums[i]);
  }
}

// Writes value(offset, channel, lanes) to every vector, the thread's last pixels first: the cache
// still holds them when the pass before ended with them.
template <class T, class F>
void write_rows(const Rows& r, int64_t begin, int64_t end, T* to, F value) {
  const int64_t c = r.channels;
  const bool past_caches = c % 16 == 0 && reinterpret_cast<uintptr_t>(to) % 64 == 0 &&
                           r.pixels * c * static_cast<int64_t>(sizeof(T)) > kPastCaches;
  for (int64_t p1 = end; p1 > begin; p1 -= kChunk) {
    for (int64_t p = p1 - kChunk > begin ? p1 - kChunk : begin; p < p1; ++p) {
      if (past_caches) {
        for (int64_t k = 0; k < c; k += 16) stream(to + p * c + k, value(p * c + k, k, 16));
        continue;
      }
      int64_t k = 0;
      for (; k + 16 <= c; k += 16) store(to + p * c + k, value(p * c + k, k, 16));
      if (k < c) store_part(to + p * c + k, value(p * c + k, k, c - k), c - k);
    }
  }
  if (past_caches) _mm_sfence();
}

// Workspace: per thread 2c floats and 2c doubles, then 5c floats of per-channel factors.
struct RowsWorkspace {
  float* sums(int t) const { return base + t * 6 * c; }
  double* total(int t) const { return reinterpret_cast<double*>(base + t * 6 * c + 2 * c); }
  float* factors() const { return base + threads * 6 * c; }
  float* base;
  int64_t c;
  int threads;
};

template <class F>
void on_threads(const Rows& r, F&& f) {
  parallel_for(0, r.threads, 1, [&](int64_t t0, int64_t t1) {
    for (int64_t t = t0; t < t1; ++t) {
      const int64_t begin = t * r.per_thread;
      const int64_t end = begin + r.per_thread < r.pixels ? begin + r.per_thread : r.pixels;
      if (begin < end || begin == 0) f(static_cast<int>(t), begin, end);
    }
  });
}

// The affine map of every channel: forward's, and that by which backward makes the mask again.
inline void affine_rows(const BatchNormArgs& a, int64_t c, float* scale, float* shift) {
  for (int64_t k = 0; k < c; ++k) {
    const double f = static_cast<double>(a.weight ? a.weight[k] : 1.0f) * a.rstd[k];
    scale[k] = static_cast<float>(f);
    shift[k] = static_cast<float>((a.bias ? a.bias[k] : 0.0f) - a.mean[k] * f);
  }
}

// Pixels in `threads` runs.
template <class T>
void apply_rows(const BatchNormShape& s, const BatchNormArgs& a, int threads) {
  const Rows r = rows_of(s, threads);
  const int64_t c = r.channels;
  const RowsWorkspace w{a.workspace, (c + 15) / 16 * 16, threads};
  float* scale = w.factors();
  float* shift = scale + w.c;
  affine_rows(a, c, scale, shift);
  const T* x = static_cast<const T*>(a.x);
  T* y = static_cast<T*>(a.y);
  const T* residual = static_cast<const T*>(a.residual);
  const bool relu = a.relu;
  on_threads(r, [&](int, int64_t begin, int64_t end) {
    if (residual) {
      write_rows(r, begin, end, y, [=](int64_t at, int64_t k, int64_t lanes) {
        const V16 v = get(x, at, lanes) * get(scale, k, lanes) + get(shift, k, lanes) +
                      get(residual, at, lanes);
        return relu ? max0(v) : v;
      });
    } else {
      write_rows(r, begin, end, y, [=](int64_t at, int64_t k, int64_t lanes) {
        const V16 v = get(x, at, lanes) * get(scale, k, lanes) + get(shift, k, lanes);
        return relu ? max0(v) : v;
      });
    }
  });
}

template <class T>
void forward_rows(const BatchNormShape& s, const BatchNormArgs& a, int threads) {
  const Rows r = rows_of(s, threads);
  const int64_t c = r.channels;
  const RowsWorkspace w{a.workspace, (c + 15) / 16 * 16, threads};
  const T* x = static_cast<const T*>(a.x);
  float* base = w.factors();
  for (int64_t k = 0; k < c; ++k) base[k] = x[k];
  for (int t = 0; t < threads; ++t) {
    for (int64_t i = 0; i < 2 * c; ++i) w.total(t)[i] = 0;
  }
  on_threads(r, [&](int t, int64_t begin, int64_t end) {
    sum_rows(r, begin, end, w.sums(t), w.total(t),
             [=](int64_t at, int64_t k, int64_t lanes, V16* u, V16* v) {
               *u = get(x, at, lanes) - get(base, k, lanes);
               *v = *u * *u;
             });
  });
  const double count = static_cast<double>(r.pixels);
  for (int64_t k = 0; k < c; ++k) {
    double s1 = 0, s2 = 0;
    for (int t = 0; t < threads; ++t) {
      s1 += w.total(t)[k];
      s2 += w.total(t)[c + k];
    }
    const double m = s1 / count, var = s2 / count - m * m;
    const double mean = base[k] + m;
    const double rstd = inverse_sqrt((var > 0 ? var : (var == var ? 0 : var)) + s.eps);
    a.mean[k] = static_cast<float>(mean);
    a.rstd[k] = static_cast<float>(rstd);
  }
  apply_rows<T>(s, a, threads);
}

// Of the mask, the gradient behind it, where it stands in x or is given by y.
template <class T>
struct MaskedRows {
  const T *dy, *dy2, *y;
  const float *scale, *shift;
  bool relu;
  inline __attribute__((always_inline)) V16 operator()(int64_t at, int64_t k, int64_t lanes,
                                                       V16 x) const {
    V16 d = get(dy, at, lanes);
    if (dy2) d += get(dy2, at, lanes);
    if (y) return get(y, at, lanes) > 0.0f ? d : V16{};
    if (!relu) return d;
    return x * get(scale, k, lanes) + get(shift, k, lanes) > 0.0f ? d : V16{};
  }
};

// Sums of the masked gradient, and of it times x - mean; writes it where it is a result.
template <class T>
void backward_sums(const Rows& r, const BatchNormArgs& a, int64_t begin, int64_t end,
                   const MaskedRows<T>& masked, float* sums, double* total) {
  const T* x = static_cast<const T*>(a.x);
  T* dresidual = static_cast<T*>(a.dresidual);
  const float* mean = a.mean;
  sum_rows(r, begin, end, sums, total, [=](int64_t at, int64_t k, int64_t lanes, V16* u, V16* v) {
    const V16 xv = get(x, at, lanes);
    *u = masked(at, k, lanes, xv);
    if (dresidual) put(dresidual, at, *u, lanes);
    *v = *u * (xv - get(mean, k, lanes));
  });
}

template <class T>
void backward_rows(const BatchNormShape& s, const BatchNormArgs& a, int threads) {
  const Rows r = rows_of(s, threads);
  const int64_t c = r.channels;
  const RowsWorkspace w{a.workspace, (c + 15) / 16 * 16, threads};
  float* c0 = w.factors();
  float* c1 = c0 + w.c;
  float* c2 = c1 + w.c;
  float* scale = c2 + w.c;
  float* shift = scale + w.c;
  affine_rows(a, c, scale, shift);
  const T *x = static_cast<const T*>(a.x), *dresidual = static_cast<const T*>(a.dresidual);
  T* dx = static_cast<T*>(a.dx);
  const MaskedRows<T> masked{static_cast<const T*>(a.dy),
                             static_cast<const T*>(a.dy2),
                             static_cast<const T*>(a.y_in),
                             scale,
                             shift,
                             a.relu};
  for (int t = 0; t < threads; ++t) {
    for (int64_t i = 0; i < 2 * c; ++i) w.total(t)[i] = 0;
  }
  on_threads(r, [&](int t, int64_t begin, int64_t end) {
    backward_sums(r, a, begin, end, masked, w.sums(t), w.total(t));
  });
  const double count = static_cast<double>(r.pixels);
  for (int64_t k = 0; k < c; ++k) {
    double s1 = 0, s2 = 0;
    for (int t = 0; t < threads; ++t) {
      s1 += w.total(t)[k];
      s2 += w.total(t)[c + k];
    }
    const double rstd = a.rstd[k], f0 = (a.weight ? a.weight[k] : 1.0f) * rstd;
    const double dweight = s2 * rstd, f1 = -f0 * rstd * dweight / count;
    a.dbias[k] = static_cast<float>(s1);
    a.dweight[k] = static_cast<float>(dweight);
    c0[k] = static_cast<float>(f0);
    c1[k] = static_cast<float>(f1);
    c2[k] = static_cast<float>(-f0 * s1 / count - f1 * a.mean[k]);
  }
  on_threads(r, [&](int, int64_t begin, int64_t end) {
    write_rows(r, begin, end, dx, [=](int64_t at, int64_t k, int64_t lanes) {
      const V16 xv = get(x, at, lanes);
      const V16 dz = dresidual ? get(dresidual, at, lanes) : masked(at, k, lanes, xv);
      return dz * get(c0, k, lanes) + xv * get(c1, k, lanes) + get(c2, k, lanes);
    });
  });
}

}  // namespace
}  // namespace rutile::kernels::RUTILE_ISA
