// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cuda/taps.h"

#include "rutile/kernels/cuda/index.h"
#include "rutile/kernels/cuda/values.h"

namespace rutile::cuda {
namespace {

// Where an element of y lies: in its plane, and the plane.
struct TapsPlace {
  int64_t at[3], plane[3];
  RUTILE_FN TapsPlace(const TapsArgs& a, int64_t i) {
    for (int d = 2; d >= 0; --d) {
      at[d] = i % a.size[d];
      i /= a.size[d];
    }
    a.plane_at.find(i, plane);
  }
};

template <class C>
__global__ void __launch_bounds__(kCoverThreads) taps_sum(RUTILE_PARAM TapsArgs a) {
  const int64_t i = thread_number();
  if (i >= a.n) return;
  const TapsPlace p(a, i);
  C total = 0;
  const TapsAxis &dx = a.axis[0], &hx = a.axis[1], &wx = a.axis[2];
  for (int64_t d = dx.first[p.at[0]]; d < dx.first[p.at[0] + 1]; ++d) {
    C planes = 0;
    for (int64_t h = hx.first[p.at[1]]; h < hx.first[p.at[1] + 1]; ++h) {
      const int64_t row = p.plane[0] + dx.pixel[d] * a.x_step[0] + hx.pixel[h] * a.x_step[1];
      C sum = 0;
      for (int64_t w = wx.first[p.at[2]]; w < wx.first[p.at[2] + 1]; ++w) {
        sum += static_cast<C>(wx.weight[w]) * load<C>(a.type, a.x, row + wx.pixel[w] * a.x_step[2]);
      }
      planes += static_cast<C>(hx.weight[h]) * sum;
    }
    total += static_cast<C>(dx.weight[d]) * planes;
  }
  store<C>(a.type, a.y,
           p.plane[1] + p.at[0] * a.y_step[0] + p.at[1] * a.y_step[1] + p.at[2] * a.y_step[2],
           total);
}

// The first of equal maxima counts, of NaNs the last one.
template <class C>
__global__ void __launch_bounds__(kCoverThreads) taps_max(RUTILE_PARAM TapsArgs a) {
  const int64_t i = thread_number();
  if (i >= a.n) return;
  const TapsPlace p(a, i);
  C best = 0;
  if constexpr (std::is_floating_point_v<C>) {
    best = -static_cast<C>(__builtin_inf());
  } else {
    best = static_cast<C>(a.lowest);
  }
  int64_t position = -1;
  const TapsAxis &dx = a.axis[0], &hx = a.axis[1], &wx = a.axis[2];
  for (int64_t d = dx.first[p.at[0]]; d < dx.first[p.at[0] + 1]; ++d) {
    for (int64_t h = hx.first[p.at[1]]; h < hx.first[p.at[1] + 1]; ++h) {
      for (int64_t w = wx.first[p.at[2]]; w < wx.first[p.at[2] + 1]; ++w) {
        const int64_t pd = dx.pixel[d], ph = hx.pixel[h], pw = wx.pixel[w];
        const C v = load<C>(a.type, a.x,
                            p.plane[0] + pd * a.x_step[0] + ph * a.x_step[1] + pw * a.x_step[2]);
        if (position >= 0 && !(v > best) && v == v) continue;
        best = v;
        position = (pd * hx.in + ph) * wx.in + pw;
      }
    }
  }
  store<C>(a.type, a.y,
           p.plane[1] + p.at[0] * a.y_step[0] + p.at[1] * a.y_step[1] + p.at[2] * a.y_step[2],
           best);
  put<int32_t>(a.indices,
               p.plane[2] + p.at[0] * a.index_step[0] + p.at[1] * a.index_step[1] +
                   p.at[2] * a.index_step[2],
               static_cast<int32_t>(position));
}

// The pixel that index i names; -1 for nowhere, and for one out of range, which is reported.
RUTILE_FN int64_t named_pixel(const PixelArgs& a, int64_t at, int64_t i) {
  const int64_t v = load<int64_t>(a.index_type, a.index, at);
  if (v == -1 || (v >= 0 && v < a.pixels)) return v;
  a.fault.raise(FaultKind::kIndex, v, i, a.pixels, false);
  return -1;
}

template <class T>
__global__ void __launch_bounds__(kCoverThreads) pixel_gather(RUTILE_PARAM PixelArgs a) {
  const int64_t i = thread_number();
  if (i >= a.n) return;
  int64_t plane[3], place[2];
  a.plane_at.find(i / a.plane, plane);
  a.place_at.find(i % a.plane, place);
  int64_t pixel = named_pixel(a, plane[1] + place[0], i);
  T v{};
  if (pixel >= 0) {
    int64_t from = plane[0];
    for (int d = 2; d >= 0; --d) {
      from += pixel % a.size[d] * a.step[d];
      pixel /= a.size[d];
    }
    v = static_cast<const T*>(a.x)[from];
  }
  static_cast<T*>(a.y)[plane[2] + place[1]] = v;
}

__global__ void __launch_bounds__(kCoverThreads) pixel_keys(RUTILE_PARAM PixelArgs a) {
  const int64_t i = thread_number();
  if (i >= a.n) return;
  int64_t plane[3], place[2];
  a.plane_at.find(i / a.plane, plane);
  a.place_at.find(i % a.plane, place);
  const int64_t pixel = named_pixel(a, plane[1] + place[0], i);
  a.keys[i] = pixel < 0 ? kNowhere : static_cast<uint64_t>(i / a.plane * a.pixels + pixel);
  a.values[i] = i;
}

template <class F>
int by_type(DType t, F&& f) {
  if (t == DType::kF64) return f(double{});
  if (is_floating(t)) return f(float{});
  if (t == DType::kU64) return f(uint64_t{});
  return f(int64_t{});
}

}  // namespace

int launch_taps_sum(const TapsArgs& a, Stream stream) {
  if (a.type == DType::kF64) return launch(taps_sum<double>, cover(a.n), stream, a);
  return launch(taps_sum<float>, cover(a.n), stream, a);
}
int launch_taps_max(const TapsArgs& a, Stream stream) {
  return by_type(a.type,
                 [&](auto t) { return launch(taps_max<decltype(t)>, cover(a.n), stream, a); });
}
int launch_pixel_gather(const PixelArgs& a, Stream stream) {
  return by_size(static_cast<int>(dtype_size(a.type)),
                 [&](auto t) { return launch(pixel_gather<decltype(t)>, cover(a.n), stream, a); });
}
int launch_pixel_keys(const PixelArgs& a, Stream stream) {
  return launch(pixel_keys, cover(a.n), stream, a);
}

}  // namespace rutile::cuda
