// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cuda/pool.h"

#include "rutile/kernels/cuda/values.h"

namespace rutile::cuda {
namespace {

struct Place {
  int64_t n, c, h, w;
  // Of element i of an image, in the order of its memory.
  RUTILE_FN Place(const PoolImage& m, bool channels_last, int64_t i) {
    if (channels_last) {
      c = i % m.c, i /= m.c;
      w = i % m.w, i /= m.w;
      h = i % m.h, n = i / m.h;
    } else {
      w = i % m.w, i /= m.w;
      h = i % m.h, i /= m.h;
      c = i % m.c, n = i / m.c;
    }
  }
};

// Calls f(row, column) for the pixels of x under a window, those in the padding left out.
template <class F>
RUTILE_FN void for_window(const PoolArgs& a, const Place& at, F&& f) {
  for (int64_t i = 0; i < a.kernel_h; ++i) {
    const int64_t h = at.h * a.stride_h - a.pad_h + i * a.dilation_h;
    if (h < 0 || h >= a.x.h) continue;
    for (int64_t j = 0; j < a.kernel_w; ++j) {
      const int64_t w = at.w * a.stride_w - a.pad_w + j * a.dilation_w;
      if (w >= 0 && w < a.x.w) f(h, w);
    }
  }
}

// Calls f(row, column) for the windows that cover a pixel of x, in their order.
template <class F>
RUTILE_FN void for_windows_at(const PoolArgs& a, const Place& at, F&& f) {
  for (int64_t i = a.kernel_h - 1; i >= 0; --i) {
    const int64_t from = at.h + a.pad_h - i * a.dilation_h, h = from / a.stride_h;
    if (from < 0 || from % a.stride_h != 0 || h >= a.y.h) continue;
    for (int64_t j = a.kernel_w - 1; j >= 0; --j) {
      const int64_t across = at.w + a.pad_w - j * a.dilation_w, w = across / a.stride_w;
      if (across >= 0 && across % a.stride_w == 0 && w < a.y.w) f(h, w);
    }
  }
}

// The window's extent on one axis, cut off behind the padding or behind the data.
RUTILE_FN int64_t extent(int64_t begin, int64_t kernel, int64_t size, int64_t pad, bool padded) {
  int64_t end = begin + kernel < size + pad ? begin + kernel : size + pad;
  if (!padded) {
    begin = begin > 0 ? begin : 0;
    end = end < size ? end : size;
  }
  return end - begin;
}
template <class C>
RUTILE_FN C divisor(const PoolArgs& a, int64_t h, int64_t w) {
  if (a.divisor) return static_cast<C>(a.divisor);
  return static_cast<C>(
      extent(h * a.stride_h - a.pad_h, a.kernel_h, a.x.h, a.pad_h, a.include_pad) *
      extent(w * a.stride_w - a.pad_w, a.kernel_w, a.x.w, a.pad_w, a.include_pad));
}

struct Range {
  int64_t begin, end;
};
RUTILE_FN Range adaptive(int64_t i, int64_t outputs, int64_t inputs) {
  return {i * inputs / outputs, ((i + 1) * inputs + outputs - 1) / outputs};
}

template <class C, PoolKind kKind>
__global__ void __launch_bounds__(kCoverThreads) pool_forward(RUTILE_PARAM PoolArgs a) {
  const int64_t i = thread_number();
  if (i >= a.y.n * a.y.c * a.y.h * a.y.w) return;
  const Place at(a.y, a.channels_last, i);
  const auto read = [&](int64_t h, int64_t w) {
    return load<C>(a.type, a.in, a.x.at(at.n, at.c, h, w));
  };
  C result = 0;
  if constexpr (kKind == PoolKind::kMax) {
    int64_t index = -1;
    if constexpr (std::is_floating_point_v<C>) {
      result = -static_cast<C>(__builtin_inf());
    } else {
      result = static_cast<C>(a.lowest);
    }
    for_window(a, at, [&](int64_t h, int64_t w) {
      const C v = read(h, w);
      if (index >= 0 && !(v > result) && v == v) return;
      result = v;
      index = h * a.x.w + w;
    });
    put<int32_t>(a.indices, a.index.at(at.n, at.c, at.h, at.w), static_cast<int32_t>(index));
  } else if constexpr (kKind == PoolKind::kMaxGather) {
    const int64_t index =
        rutile::cuda::at<int32_t>(a.indices_in, a.index.at(at.n, at.c, at.h, at.w));
    for_window(a, at, [&](int64_t h, int64_t w) {
      if (index == h * a.x.w + w) result = read(h, w);
    });
  } else if constexpr (kKind == PoolKind::kAverage) {
    for_window(a, at, [&](int64_t h, int64_t w) { result += read(h, w); });
    result /= divisor<C>(a, at.h, at.w);
  } else {
    const Range rows = adaptive(at.h, a.y.h, a.x.h), columns = adaptive(at.w, a.y.w, a.x.w);
    for (int64_t h = rows.begin; h < rows.end; ++h) {
      for (int64_t w = columns.begin; w < columns.end; ++w) result += read(h, w);
    }
    result /= static_cast<C>((rows.end - rows.begin) * (columns.end - columns.begin));
  }
  store<C>(a.type, a.out, a.y.at(at.n, at.c, at.h, at.w), result);
}

template <class C, PoolKind kKind>
__global__ void __launch_bounds__(kCoverThreads) pool_backward(RUTILE_PARAM PoolArgs a) {
  const int64_t i = thread_number();
  if (i >= a.x.n * a.x.c * a.x.h * a.x.w) return;
  const Place at(a.x, a.channels_last, i);
  const auto read = [&](int64_t h, int64_t w) {
    return load<C>(a.type, a.in, a.y.at(at.n, at.c, h, w));
  };
  C sum = 0;
  if constexpr (kKind == PoolKind::kMaxGrad) {
    const int64_t me = at.h * a.x.w + at.w;
    for_windows_at(a, at, [&](int64_t h, int64_t w) {
      const int64_t index = rutile::cuda::at<int32_t>(a.indices_in, a.index.at(at.n, at.c, h, w));
      if (index == me) sum += read(h, w);
    });
  } else if constexpr (kKind == PoolKind::kAverageGrad) {
    for_windows_at(a, at, [&](int64_t h, int64_t w) { sum += read(h, w) / divisor<C>(a, h, w); });
  } else {
    // The first window that may cover the pixel, then all that do.
    for (int64_t h = at.h * a.y.h / a.x.h; h < a.y.h; ++h) {
      const Range rows = adaptive(h, a.y.h, a.x.h);
      if (rows.begin > at.h) break;
      if (rows.end <= at.h) continue;
      for (int64_t w = at.w * a.y.w / a.x.w; w < a.y.w; ++w) {
        const Range columns = adaptive(w, a.y.w, a.x.w);
        if (columns.begin > at.w) break;
        if (columns.end <= at.w) continue;
        sum += read(h, w) / static_cast<C>((rows.end - rows.begin) * (columns.end - columns.begin));
      }
    }
  }
  store<C>(a.type, a.out, a.x.at(at.n, at.c, at.h, at.w), sum);
}

template <PoolKind kKind, bool kIntegers>
int launch_kind(const PoolArgs& a, Stream stream) {
  constexpr bool kBackward = kKind == PoolKind::kMaxGrad || kKind == PoolKind::kAverageGrad ||
                             kKind == PoolKind::kAdaptiveGrad;
  const Grid grid = cover(kBackward ? a.x.numel() : a.y.numel());
  const auto run = [&](auto type) {
    using C = decltype(type);
    if constexpr (kBackward) {
      return launch(pool_backward<C, kKind>, grid, stream, a);
    } else {
      return launch(pool_forward<C, kKind>, grid, stream, a);
    }
  };
  if (a.type == DType::kF64) return run(double{});
  if constexpr (kIntegers) {
    if (a.type == DType::kU64) return run(uint64_t{});
    if (!is_floating(a.type)) return run(int64_t{});
  }
  return run(float{});
}

}  // namespace

int launch_pool(PoolKind kind, const PoolArgs& a, Stream stream) {
  switch (kind) {
    case PoolKind::kMax:
      return launch_kind<PoolKind::kMax, true>(a, stream);
    case PoolKind::kMaxGrad:
      return launch_kind<PoolKind::kMaxGrad, true>(a, stream);
    case PoolKind::kMaxGather:
      return launch_kind<PoolKind::kMaxGather, true>(a, stream);
    case PoolKind::kAverage:
      return launch_kind<PoolKind::kAverage, false>(a, stream);
    case PoolKind::kAverageGrad:
      return launch_kind<PoolKind::kAverageGrad, false>(a, stream);
    case PoolKind::kAdaptive:
      return launch_kind<PoolKind::kAdaptive, false>(a, stream);
    default:
      return launch_kind<PoolKind::kAdaptiveGrad, false>(a, stream);
  }
}

}  // namespace rutile::cuda
