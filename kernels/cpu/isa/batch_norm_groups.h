// SPDX-License-Identifier: Apache-2.0
// Batch norm, a group of up to sixteen channels at a time: row-major and channel-blocked images.
#pragma once

#include "rutile/kernels/cpu/batch_norm.h"

#include "rutile/core/thread.h"
#include "rutile/kernels/cpu/isa/vec16.h"

namespace rutile::kernels::RUTILE_ISA {
namespace {

constexpr int64_t kChunk = 128;

// Two running sums by lane, f32 in front of f64.
struct Sums {
  V16 a{}, b{};
  double da[16] = {}, db[16] = {};
  int64_t pending = 0;
  inline __attribute__((always_inline)) void flush() {
    for (int i = 0; i < 16; ++i) {
      da[i] += a[i];
      db[i] += b[i];
    }
    a = b = V16{};
    pending = 0;
  }
  // Lane 0 gets the sum of all lanes, if they are pixels of one channel.
  void gather() {
    for (int i = 1; i < 16; ++i) {
      da[0] += da[i];
      db[0] += db[i];
    }
    for (int i = 1; i < 16; ++i) {
      da[i] = da[0];
      db[i] = db[0];
    }
  }
};

inline double inverse_sqrt(double v) { return 1.0 / __builtin_sqrt(v); }

// One group's geometry: vectors at p + batch * batch_stride + j * 16 (or j * lanes).
struct Group {
  int64_t batch, batch_stride, vectors, step, tail, offset;
  bool partial;  // every vector has fewer than 16 lanes (8-channel blocks)
};

Group group_of(const BatchNormShape& s, int64_t g) {
  Group r;
  r.batch = s.batch;
  r.batch_stride = s.batch_stride;
  r.offset = g * s.group_stride;
  if (s.lanes_are_channels) {
    r.vectors = s.pixels;
    r.step = s.lanes;
    r.tail = 0;
    r.partial = s.lanes < 16;
  } else {
    r.vectors = s.pixels / 16;
    r.step = 16;
    r.tail = s.pixels % 16;
    r.partial = false;
  }
  return r;
}

// Calls f(offset, lanes) for each vector of the group; backwards: the last image first, which the
// cache still holds when the pass before ended with it.
template <bool kBackwards = false, class F>
inline __attribute__((always_inline)) void for_each_vector(const Group& g, F&& f) {
  for (int64_t n = 0; n < g.batch; ++n) {
    int64_t at = g.offset + (kBackwards ? g.batch - 1 - n : n) * g.batch_stride;
    if (g.partial) {
      for (int64_t j = 0; j < g.vectors; ++j, at += g.step) f(at, g.step);
    } else {
      for (int64_t j = 0; j < g.vectors; ++j, at += 16) f(at, int64_t{16});
      if (g.tail) f(at, g.tail);
    }
  }
}

template <class T>
inline __attribute__((always_inline)) V16 get(const T* p, int64_t at, int64_t lanes) {
  return lanes == 16 ? load(p + at) : load_part(p + at, lanes);
}
template <class T>
inline __attribute__((always_inline)) void put(T* p, int64_t at, V16 v, int64_t lanes) {
  if (lanes == 16) {
    store(p + at, v);
  } else {
    store_part(p + at, v, lanes);
  }
}

#if defined(__AVX512F__)
inline __attribute__((always_inline)) void stream(float* p, V16 v) {
  _mm512_stream_ps(p, reinterpret_cast<__m512>(v));
}
inline __attribute__((always_inline)) void stream(BFloat16* p, V16 v) {
  BFloat16 buffer[16];
  store(buffer, v);
  _mm256_stream_si256(reinterpret_cast<__m256i*>(p),
                      _mm256_loadu_si256(reinterpret_cast<const __m256i*>(buffer)));
}
#else
inline __attribute__((always_inline)) void stream(float* p, V16 v) {
  const __m256* halves = reinterpret_cast<const __m256*>(&v);
  _mm256_stream_ps(p, halves[0]);
  _mm256_stream_ps(p + 8, halves[1]);
}
inline __attribute__((always_inline)) void stream(BFloat16* p, V16 v) { store(p, v); }
#endif

// Results that would push out of the caches what is read next go past them.
constexpr int64_t kPastCaches = 8 << 20;

// Writes value(offset, lanes) to every vector of the group.
template <class T, class F>
void write_group(const BatchNormShape& s, const Group& g, T* to, F&& value) {
  const bool whole = !g.partial && g.tail == 0 && g.offset % 16 == 0 && g.batch_stride % 16 == 0 &&
                     reinterpret_cast<uintptr_t>(to) % 64 == 0;
  if (whole && s.batch * s.batch_stride * static_cast<int64_t>(sizeof(T)) > kPastCaches) {
    for_each_vector<true>(g, [&](int64_t at, int64_t) { stream(to + at, value(at, 16)); });
    _mm_sfence();
  } else {
    for_each_vector<true>(g, [&](int64_t at, int64_t n) { put(to, at, value(at, n), n); });
  }
}

// Per-channel values of group g by lane; `missing` for padding channels.
V16 channel_values(const BatchNormShape& s, int64_t g, const float* v, float fallback) {
  if (!s.lanes_are_channels) return splat(v ? v[g] : fallback);
  V16 r{};
  for (int64_t i = 0; i < s.lanes && g * s.lanes + i < s.channels; ++i) {
    r[i] = v ? v[g * s.lanes + i] : fallback;
  }
  return r;
}

void write_channels(const BatchNormShape& s, int64_t g, float* out, const double* v) {
  if (!s.lanes_are_channels) {
    out[g] = static_cast<float>(v[0]);
    return;
  }
  for (int64_t i = 0; i < s.lanes && g * s.lanes + i < s.channels; ++i) {
    out[g * s.lanes + i] = static_cast<float>(v[i]);
  }
}

struct Affine {
  V16 scale, shift;
};

// The affine map of forward, from the statistics as they are saved: apply and backward's mask see
// the very values that forward made.
Affine affine_of(V16 mean, V16 rstd, V16 weight, V16 bias) {
  Affine r;
  for (int i = 0; i < 16; ++i) {
    const double w = static_cast<double>(weight[i]) * rstd[i];
    r.scale[i] = static_cast<float>(w);
    r.shift[i] = static_cast<float>(bias[i] - mean[i] * w);
  }
  return r;
}

template <class T>
void apply_group(const BatchNormShape& s, const BatchNormArgs& a, int64_t g) {
  const Group group = group_of(s, g);
  const Affine map = affine_of(channel_values(s, g, a.mean, 0), channel_values(s, g, a.rstd, 0),
                               channel_values(s, g, a.weight, 1), channel_values(s, g, a.bias, 0));
  const V16 scale = map.scale, shift = map.shift;
  const T* x = static_cast<const T*>(a.x);
  T* y = static_cast<T*>(a.y);
  const T* residual = static_cast<const T*>(a.residual);
  if (residual && a.relu) {
    write_group(s, group, y, [&](int64_t at, int64_t lanes) {
      return max0(get(x, at, lanes) * scale + shift + get(residual, at, lanes));
    });
  } else if (residual) {
    write_group(s, group, y, [&](int64_t at, int64_t lanes) {
      return get(x, at, lanes) * scale + shift + get(residual, at, lanes);
    });
  } else if (a.relu) {
    write_group(s, group, y,
                [&](int64_t at, int64_t lanes) { return max0(get(x, at, lanes) * scale + shift); });
  } else {
    write_group(s, group, y,
                [&](int64_t at, int64_t lanes) { return get(x, at, lanes) * scale + shift; });
  }
}

template <class T>
void forward_group(const BatchNormShape& s, const BatchNormArgs& a, int64_t g) {
  const T* x = static_cast<const T*>(a.x);
  const Group group = group_of(s, g);
  V16 base =
      get(x, group.offset, s.lanes_are_channels ? s.lanes : (group.vectors ? 16 : group.tail));
  if (!s.lanes_are_channels) base = splat(base[0]);
  Sums sums;
  for_each_vector(group, [&](int64_t at, int64_t lanes) {
    V16 d = get(x, at, lanes) - base;
    if (lanes < 16) {
      // Lanes beyond the data must add nothing.
      for (int64_t i = lanes; i < 16; ++i) d[i] = 0;
    }
    sums.a += d;
    sums.b += d * d;
    if (++sums.pending == kChunk) sums.flush();
  });
  sums.flush();
  if (!s.lanes_are_channels) sums.gather();
  const double count = static_cast<double>(s.count());
  // Padding channels have no statistics: with eps = 0 their rstd would be infinite.
  int64_t lanes = 16;
  if (s.lanes_are_channels) {
    const int64_t left = s.channels - g * s.lanes;
    lanes = left < s.lanes ? left : s.lanes;
  }
  double mean[16] = {}, rstd[16] = {};
  for (int64_t i = 0; i < lanes; ++i) {
    const double m = sums.da[i] / count;
    const double var = sums.db[i] / count - m * m;
    mean[i] = base[i] + m;
    rstd[i] = inverse_sqrt((var > 0 ? var : (var == var ? 0 : var)) + s.eps);
  }
  write_channels(s, g, a.mean, mean);
  write_channels(s, g, a.rstd, rstd);
  apply_group<T>(s, a, g);
}

// dx = dz * c0 + x * c1 + c2, from sum(dz) and sum(dz * (x - mean)).
struct BackwardMap {
  V16 c0, c1, c2;
  double dweight[16], dbias[16];
};
BackwardMap backward_map(const Sums& sums, V16 mean, V16 rstd, V16 weight, double count) {
  BackwardMap r;
  for (int i = 0; i < 16; ++i) {
    const double k = rstd[i];
    r.dbias[i] = sums.da[i];
    r.dweight[i] = sums.db[i] * k;
    const double c0 = weight[i] * k, c1 = -c0 * k * r.dweight[i] / count;
    r.c0[i] = static_cast<float>(c0);
    r.c1[i] = static_cast<float>(c1);
    r.c2[i] = static_cast<float>(-c0 * r.dbias[i] / count - c1 * mean[i]);
  }
  return r;
}

// The gradient behind the ReLU, if there is one, at one vector.
template <class T>
struct Masked {
  const T *dy, *dy2, *y;
  bool relu;
  Affine map;
  inline __attribute__((always_inline)) V16 operator()(int64_t at, int64_t lanes, V16 xv) const {
    V16 d = get(dy, at, lanes);
    if (dy2) d += get(dy2, at, lanes);
    if (y) return get(y, at, lanes) > 0.0f ? d : V16{};
    if (relu) return xv * map.scale + map.shift > 0.0f ? d : V16{};
    return d;
  }
};

template <class T>
void backward_group(const BatchNormShape& s, const BatchNormArgs& a, int64_t g) {
  const T* x = static_cast<const T*>(a.x);
  const Group group = group_of(s, g);
  const V16 mean = channel_values(s, g, a.mean, 0), rstd = channel_values(s, g, a.rstd, 0);
  const V16 weight = channel_values(s, g, a.weight, 1);
  Masked<T> masked{static_cast<const T*>(a.dy), static_cast<const T*>(a.dy2),
                   static_cast<const T*>(a.y_in), a.relu,
                   affine_of(mean, rstd, weight, channel_values(s, g, a.bias, 0))};
  T* dresidual = static_cast<T*>(a.dresidual);
  Sums sums;
  for_each_vector(group, [&](int64_t at, int64_t lanes) {
    const V16 xv = get(x, at, lanes);
    V16 dz = masked(at, lanes, xv);
    if (dresidual) put(dresidual, at, dz, lanes);
    if (lanes < 16) {
      for (int64_t i = lanes; i < 16; ++i) dz[i] = 0;
    }
    sums.a += dz;
    sums.b += dz * (xv - mean);
    if (++sums.pending == kChunk) sums.flush();
  });
  sums.flush();
  if (!s.lanes_are_channels) sums.gather();
  const BackwardMap m = backward_map(sums, mean, rstd, weight, static_cast<double>(s.count()));
  write_channels(s, g, a.dweight, m.dweight);
  write_channels(s, g, a.dbias, m.dbias);
  T* dx = static_cast<T*>(a.dx);
  if (dresidual) {
    write_group(s, group, dx, [&](int64_t at, int64_t lanes) {
      return get(dresidual, at, lanes) * m.c0 + get(x, at, lanes) * m.c1 + m.c2;
    });
  } else {
    write_group(s, group, dx, [&](int64_t at, int64_t lanes) {
      const V16 xv = get(x, at, lanes);
      return masked(at, lanes, xv) * m.c0 + xv * m.c1 + m.c2;
    });
  }
}

}  // namespace
}  // namespace rutile::kernels::RUTILE_ISA
