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

// Adds two sums by channel over the thread's pixels into f64 arrays, f(pixel offset, channel,
// lanes) giving the two terms.
template <class F>
void sum_rows(const Rows& r, int64_t begin, int64_t end, float* partial, double* total, F&& f) {
  const int64_t c = r.channels;
  for (int64_t i = 0; i < 2 * c; ++i) total[i] = 0;
  for (int64_t p0 = begin; p0 < end; p0 += kChunk) {
    const int64_t p1 = p0 + kChunk < end ? p0 + kChunk : end;
    for (int64_t i = 0; i < 2 * c; ++i) partial[i] = 0;
    for (int64_t p = p0; p < p1; ++p) {
      for (int64_t k = 0; k < c; k += 16) {
        const int64_t lanes = c - k < 16 ? c - k : 16;
        V16 u, v;
        f(p * c + k, k, lanes, &u, &v);
        put(partial, k, get(partial, k, lanes) + u, lanes);
        put(partial, c + k, get(partial, c + k, lanes) + v, lanes);
      }
    }
    for (int64_t i = 0; i < 2 * c; ++i) total[i] += partial[i];
  }
}

// Workspace: per thread 2c floats and 2c doubles, then 3c floats of per-channel factors.
struct RowsWorkspace {
  float* partial(int t) const { return base + t * 6 * c; }
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

// Factors of the affine map for all channels; pixels in `threads` runs.
template <class T>
void apply_rows(const BatchNormShape& s, const BatchNormArgs& a, int threads) {
  const Rows r = rows_of(s, threads);
  const int64_t c = r.channels;
  const RowsWorkspace w{a.workspace, (c + 15) / 16 * 16, threads};
  float* scale = w.factors();
  float* shift = scale + w.c;
  for (int64_t k = 0; k < c; ++k) {
    const double f = static_cast<double>(a.weight ? a.weight[k] : 1.0f) * a.rstd[k];
    scale[k] = static_cast<float>(f);
    shift[k] = static_cast<float>((a.bias ? a.bias[k] : 0.0f) - a.mean[k] * f);
  }
  const T* x = static_cast<const T*>(a.x);
  T* y = static_cast<T*>(a.y);
  const T* residual = static_cast<const T*>(a.residual);
  on_threads(r, [&](int, int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      for (int64_t k = 0; k < c; k += 16) {
        const int64_t lanes = c - k < 16 ? c - k : 16, at = p * c + k;
        V16 v = get(x, at, lanes) * get(scale, k, lanes) + get(shift, k, lanes);
        if (residual) v += get(residual, at, lanes);
        put(y, at, a.relu ? max0(v) : v, lanes);
      }
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
    sum_rows(r, begin, end, w.partial(t), w.total(t),
             [&](int64_t at, int64_t k, int64_t lanes, V16* u, V16* v) {
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

template <class T>
void backward_rows(const BatchNormShape& s, const BatchNormArgs& a, int threads) {
  const Rows r = rows_of(s, threads);
  const int64_t c = r.channels;
  const RowsWorkspace w{a.workspace, (c + 15) / 16 * 16, threads};
  const T *x = static_cast<const T*>(a.x), *dy = static_cast<const T*>(a.dy),
          *dy2 = static_cast<const T*>(a.dy2), *y = static_cast<const T*>(a.y_in);
  T* dresidual = static_cast<T*>(a.dresidual);
  T* dx = static_cast<T*>(a.dx);
  float* c0 = w.factors();
  float* c1 = c0 + w.c;
  float* c2 = c1 + w.c;
  float* scale = c2 + w.c;
  float* shift = scale + w.c;
  for (int64_t k = 0; k < c; ++k) {
    const double f = static_cast<double>(a.weight ? a.weight[k] : 1.0f) * a.rstd[k];
    scale[k] = static_cast<float>(f);
    shift[k] = static_cast<float>((a.bias ? a.bias[k] : 0.0f) - a.mean[k] * f);
  }
  auto masked = [&](int64_t at, int64_t k, int64_t lanes, V16 xv) {
    V16 d = get(dy, at, lanes);
    if (dy2) d += get(dy2, at, lanes);
    if (y) return get(y, at, lanes) > 0.0f ? d : V16{};
    if (a.relu) {
      return xv * get(scale, k, lanes) + get(shift, k, lanes) > 0.0f ? d : V16{};
    }
    return d;
  };
  for (int t = 0; t < threads; ++t) {
    for (int64_t i = 0; i < 2 * c; ++i) w.total(t)[i] = 0;
  }
  on_threads(r, [&](int t, int64_t begin, int64_t end) {
    sum_rows(r, begin, end, w.partial(t), w.total(t),
             [&](int64_t at, int64_t k, int64_t lanes, V16* u, V16* v) {
               const V16 xv = get(x, at, lanes);
               *u = masked(at, k, lanes, xv);
               if (dresidual) put(dresidual, at, *u, lanes);
               *v = *u * (xv - get(a.mean, k, lanes));
             });
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
    for (int64_t p = begin; p < end; ++p) {
      for (int64_t k = 0; k < c; k += 16) {
        const int64_t lanes = c - k < 16 ? c - k : 16, at = p * c + k;
        const V16 xv = get(x, at, lanes);
        const V16 dz = dresidual ? get(dresidual, at, lanes) : masked(at, k, lanes, xv);
        put(dx, at, dz * get(c0, k, lanes) + xv * get(c1, k, lanes) + get(c2, k, lanes), lanes);
      }
    }
  });
}

}  // namespace
}  // namespace rutile::kernels::RUTILE_ISA
