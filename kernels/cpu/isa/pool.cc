// SPDX-License-Identifier: Apache-2.0
// Pooling. Where the channels of a pixel lie together, vectors run over channels and every result
// is written once, gradients too: a pixel asks the windows that cover it. Row-major planes are
// pooled by columns into a padded line of f32, then along it.
#include "rutile/kernels/cpu/pool.h"

#include <immintrin.h>

#include "rutile/core/thread.h"
#include "rutile/kernels/cpu/isa/vec16.h"

namespace rutile::kernels::RUTILE_ISA {
namespace {

#define RUTILE_INLINE inline __attribute__((always_inline))

constexpr float kLowest = -__builtin_inff();
constexpr int32_t kNowhere = INT32_MAX;  // the index of padding

// Calls f(begin, end, thread) for the thread's part of [0, n).
template <class F>
void on_threads(int64_t n, int threads, F&& f) {
  parallel_for(0, threads, 1, [&](int64_t t0, int64_t t1) {
    for (int64_t t = t0; t < t1; ++t) f(n * t / threads, n * (t + 1) / threads, t);
  });
}

// ---- Channels of a pixel together ----

// L lanes of float and what goes with them.
template <int L>
struct Lanes;
template <>
struct Lanes<16> {
  using F = V16;
  using I = I16;
  typedef int32_t IUnaligned __attribute__((vector_size(64), aligned(4), may_alias));
  static constexpr I kIota{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
};
template <>
struct Lanes<8> {
  typedef float F __attribute__((vector_size(32)));
  typedef int32_t I __attribute__((vector_size(32)));
  typedef int32_t IUnaligned __attribute__((vector_size(32), aligned(4), may_alias));
  static constexpr I kIota{0, 1, 2, 3, 4, 5, 6, 7};
};
template <int L>
using F = typename Lanes<L>::F;
template <int L>
using I = typename Lanes<L>::I;

using F8 = Lanes<8>::F;
typedef float F8Unaligned __attribute__((vector_size(32), aligned(4), may_alias));
typedef uint32_t U8 __attribute__((vector_size(32)));
typedef uint16_t H8 __attribute__((vector_size(16)));
typedef uint16_t H8Unaligned __attribute__((vector_size(16), aligned(2), may_alias));

RUTILE_INLINE F8 load8(const float* p) { return *reinterpret_cast<const F8Unaligned*>(p); }
RUTILE_INLINE void store8(float* p, F8 v) { *reinterpret_cast<F8Unaligned*>(p) = v; }
RUTILE_INLINE F8 load8(const BFloat16* p) {
  const H8 h = *reinterpret_cast<const H8Unaligned*>(p);
  return reinterpret_cast<F8>(__builtin_convertvector(h, U8) << 16);
}
RUTILE_INLINE void store8(BFloat16* p, F8 v) {
  const U8 u = reinterpret_cast<U8>(v);
  const U8 rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
  const U8 bits = v != v ? (u >> 16 | 0x40u) : rounded;
  *reinterpret_cast<H8Unaligned*>(p) = __builtin_convertvector(bits, H8);
}

// n <= L elements, the other lanes zero.
template <int L, class T>
RUTILE_INLINE F<L> get(const T* p, int64_t n) {
  if constexpr (L == 16) {
    return n == 16 ? load(p) : load_part(p, n);
  } else {
    if (n == 8) return load8(p);
    T buffer[8] = {};
    for (int64_t i = 0; i < n; ++i) buffer[i] = p[i];
    return load8(buffer);
  }
}
template <int L, class T>
RUTILE_INLINE void put(T* p, F<L> v, int64_t n) {
  if constexpr (L == 16) {
    if (n == 16) {
      store(p, v);
    } else {
      store_part(p, v, n);
    }
  } else {
    if (n == 8) {
      store8(p, v);
      return;
    }
    T buffer[8];
    store8(buffer, v);
    for (int64_t i = 0; i < n; ++i) p[i] = buffer[i];
  }
}
template <int L>
RUTILE_INLINE I<L> get_index(const int32_t* p, int64_t n) {
  if (n == L) return *reinterpret_cast<const typename Lanes<L>::IUnaligned*>(p);
  I<L> v{};
  for (int64_t i = 0; i < n; ++i) v[i] = p[i];
  return v;
}
template <int L>
RUTILE_INLINE void put_index(int32_t* p, I<L> v, int64_t n) {
  if (n == L) {
    *reinterpret_cast<typename Lanes<L>::IUnaligned*>(p) = v;
  } else {
    for (int64_t i = 0; i < n; ++i) p[i] = v[i];
  }
}

// Calls f(first channel, lanes) until all are covered; the last vector may overlap the one before.
template <int L, class Fn>
RUTILE_INLINE void for_each_chunk(int64_t channels, Fn&& f) {
  if (channels == L) {
    f(int64_t{0}, int64_t{L});
    return;
  }
  if (channels < L) {
    f(int64_t{0}, channels);
    return;
  }
  for (int64_t k = 0; k < channels; k += L) f(k + L <= channels ? k : channels - L, int64_t{L});
}

// Lanes that hold channels and not the padding of a block.
template <int L>
RUTILE_INLINE I<L> real_lanes(const PoolShape& s, int64_t image) {
  const bool last = image % s.blocks == s.blocks - 1;
  return Lanes<L>::kIota < static_cast<int32_t>(last ? s.last_block : s.channels);
}

template <class T, int L>
void max_lanes(const PoolShape& s, const T* x, T* y, int32_t* indices, int64_t begin, int64_t end) {
  const PoolWindows &rows = s.rows, &columns = s.columns;
  const int64_t c = s.channels, w = columns.in;
  const bool padded = s.last_block < c;
  const int64_t span = (rows.kernel - 1) * rows.dilation + 1,
                ahead = rows.stride < 3 ? rows.stride : 0;
  for (int64_t task = begin; task < end; ++task) {
    const int64_t image = task / rows.out, row = task % rows.out;
    const T* source = x + image * rows.in * w * c;
    const I<L> real = real_lanes<L>(s, image);
    const PoolRange kh = rows.taps[row];
    const int64_t top = row * rows.stride - rows.pad;
    for (int64_t column = 0; column < columns.out; ++column) {
      const PoolRange kw = columns.taps[column];
      const int64_t left = column * columns.stride - columns.pad;
      const int64_t at = (task * columns.out + column) * c;
      for_each_chunk<L>(c, [&](int64_t k, int64_t n) {
        F<L> best = F<L>{} + kLowest;
        I<L> index = I<L>{} - 1;
        if (kh.begin < kh.end && kw.begin < kw.end) {
          const int64_t first =
              (top + kh.begin * rows.dilation) * w + left + kw.begin * columns.dilation;
          best = get<L>(source + first * c + k, n);
          index = I<L>{} + static_cast<int32_t>(first);
        }
        for (int64_t i = kh.begin; i < kh.end; ++i) {
          int64_t pixel = (top + i * rows.dilation) * w + left + kw.begin * columns.dilation;
          for (int64_t j = kw.begin; j < kw.end; ++j, pixel += columns.dilation) {
            const F<L> v = get<L>(source + pixel * c + k, n);
            const I<L> take = (v > best) | (v != v);
            best = take ? v : best;
            index = take ? I<L>{} + static_cast<int32_t>(pixel) : index;
          }
        }
        // The rows that the next windows below add.
        for (int64_t i = 0; i < ahead; ++i) {
          const T* next = source + ((top + span + i) * w + left + columns.pad) * c + k;
          for (int64_t j = 0; j < columns.stride; ++j) __builtin_prefetch(next + j * c);
        }
        if (padded) {
          best = real ? best : F<L>{};
          index &= real;
        }
        put<L>(y + at + k, best, n);
        put_index<L>(indices + at + k, index, n);
      });
    }
  }
}

// True if window `o` has an element on pixel `i` (of those between its ends).
RUTILE_INLINE bool covers(const PoolWindows& w, int64_t o, int64_t i) {
  return w.dilation == 1 || (i + w.pad - o * w.stride) % w.dilation == 0;
}

template <class T, int L>
void max_grad_lanes(const PoolShape& s, const T* dy, const int32_t* indices, T* dx, int64_t begin,
                    int64_t end) {
  const PoolWindows &rows = s.rows, &columns = s.columns;
  const int64_t c = s.channels;
  for (int64_t task = begin; task < end; ++task) {
    const int64_t image = task / rows.in, i = task % rows.in;
    const int64_t base = image * rows.out * columns.out;
    const PoolRange oh = rows.covers[i];
    for (int64_t j = 0; j < columns.in; ++j) {
      const PoolRange ow = columns.covers[j];
      const I<L> here = I<L>{} + static_cast<int32_t>(i * columns.in + j);
      for_each_chunk<L>(c, [&](int64_t k, int64_t n) {
        F<L> sum{};
        for (int64_t row = oh.begin; row < oh.end; ++row) {
          if (!covers(rows, row, i)) continue;
          for (int64_t column = ow.begin; column < ow.end; ++column) {
            if (!covers(columns, column, j)) continue;
            const int64_t at = (base + row * columns.out + column) * c + k;
            const I<L> named = get_index<L>(indices + at, n) == here;
            sum += named ? get<L>(dy + at, n) : F<L>{};
          }
        }
        put<L>(dx + (task * columns.in + j) * c + k, sum, n);
      });
    }
  }
}

template <class T, int L>
void average_lanes(const PoolShape& s, const T* x, T* y, int64_t begin, int64_t end) {
  const PoolWindows &rows = s.rows, &columns = s.columns;
  const int64_t c = s.channels, w = columns.in;
  for (int64_t task = begin; task < end; ++task) {
    const int64_t image = task / rows.out, row = task % rows.out;
    const T* source = x + image * rows.in * w * c;
    const PoolRange kh = rows.taps[row];
    const int64_t top = row * rows.stride - rows.pad;
    for (int64_t column = 0; column < columns.out; ++column) {
      const PoolRange kw = columns.taps[column];
      const int64_t left = column * columns.stride - columns.pad;
      const float share = rows.share[row] * columns.share[column];
      for_each_chunk<L>(c, [&](int64_t k, int64_t n) {
        F<L> sum{};
        for (int64_t i = kh.begin; i < kh.end; ++i) {
          for (int64_t j = kw.begin; j < kw.end; ++j) {
            sum += get<L>(source + ((top + i) * w + left + j) * c + k, n);
          }
        }
        put<L>(y + (task * columns.out + column) * c + k, sum * share, n);
      });
    }
  }
}

template <class T, int L>
void average_grad_lanes(const PoolShape& s, const T* dy, T* dx, int64_t begin, int64_t end) {
  const PoolWindows &rows = s.rows, &columns = s.columns;
  const int64_t c = s.channels;
  for (int64_t task = begin; task < end; ++task) {
    const int64_t image = task / rows.in, i = task % rows.in;
    const int64_t base = image * rows.out * columns.out;
    const PoolRange oh = rows.covers[i];
    for (int64_t j = 0; j < columns.in; ++j) {
      const PoolRange ow = columns.covers[j];
      for_each_chunk<L>(c, [&](int64_t k, int64_t n) {
        F<L> sum{};
        for (int64_t row = oh.begin; row < oh.end; ++row) {
          for (int64_t column = ow.begin; column < ow.end; ++column) {
            const float share = rows.share[row] * columns.share[column];
            sum += get<L>(dy + (base + row * columns.out + column) * c + k, n) * share;
          }
        }
        put<L>(dx + (task * columns.in + j) * c + k, sum, n);
      });
    }
  }
}

template <class T, int L>
void global_lanes(const PoolShape& s, const T* x, T* y, int64_t begin, int64_t end) {
  constexpr int64_t kRun = 128;  // pixels between additions to the total
  const int64_t c = s.channels, pixels = s.rows.in * s.columns.in;
  const float share = static_cast<float>(1.0 / static_cast<double>(pixels));
  for (int64_t image = begin; image < end; ++image) {
    const T* source = x + image * pixels * c;
    for_each_chunk<L>(c, [&](int64_t k, int64_t n) {
      F<L> total{};
      for (int64_t p0 = 0; p0 < pixels; p0 += kRun) {
        const int64_t p1 = p0 + kRun < pixels ? p0 + kRun : pixels;
        F<L> sum{};
        for (int64_t p = p0; p < p1; ++p) sum += get<L>(source + p * c + k, n);
        total += sum;
      }
      put<L>(y + image * c + k, total * share, n);
    });
  }
}

template <class T, int L>
void global_grad_lanes(const PoolShape& s, const T* dy, T* dx, int64_t begin, int64_t end) {
  const int64_t c = s.channels, pixels = s.rows.in * s.columns.in;
  const float share = static_cast<float>(1.0 / static_cast<double>(pixels));
  for (int64_t image = begin; image < end; ++image) {
    for_each_chunk<L>(c, [&](int64_t k, int64_t n) {
      const F<L> v = get<L>(dy + image * c + k, n) * share;
      T* to = dx + image * pixels * c + k;
      for (int64_t p = 0; p < pixels; ++p) put<L>(to + p * c, v, n);
    });
  }
}

// ---- Row-major planes ----

// Every stride-th element from p on.
RUTILE_INLINE V16 load_strided(const float* p, int64_t stride) {
  if (stride == 1) return load(p);
  V16 r;
  if (stride == 2) {
#if defined(__AVX512F__)
    constexpr I16 kEven{0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30};
    return __builtin_shuffle(load(p), load(p + 16), kEven);
#else
    for (int half = 0; half < 2; ++half) {
      const __m256 a = _mm256_loadu_ps(p + 16 * half), b = _mm256_loadu_ps(p + 16 * half + 8);
      const __m256d even = _mm256_castps_pd(_mm256_shuffle_ps(a, b, 0x88));
      const __m256 sorted = _mm256_castpd_ps(_mm256_permute4x64_pd(even, 0xd8));
      __builtin_memcpy(reinterpret_cast<char*>(&r) + 32 * half, &sorted, 32);
    }
    return r;
#endif
  }
  for (int i = 0; i < 16; ++i) r[i] = p[i * stride];
  return r;
}
RUTILE_INLINE I16 load_strided(const int32_t* p, int64_t stride) {
  return reinterpret_cast<I16>(load_strided(reinterpret_cast<const float*>(p), stride));
}
RUTILE_INLINE I16 load_index(const int32_t* p) { return get_index<16>(p, 16); }

// A line of pool_line(s) floats holds pixel j of a row at [pad + j] and padding around.

// Maximum over the rows of one window row, by column.
template <class T>
void max_columns(const PoolShape& s, const T* plane, int64_t row, float* values, int32_t* at) {
  const PoolWindows& rows = s.rows;
  const int64_t w = s.columns.in, top = row * rows.stride - rows.pad;
  const PoolRange kh = rows.taps[row];
  for (int64_t j = 0; j < w; j += 16) {
    const int64_t n = w - j < 16 ? w - j : 16;
    V16 best = splat(kLowest);
    I16 index = I16{} + kNowhere;
    if (kh.begin < kh.end) {
      const int64_t first = (top + kh.begin * rows.dilation) * w + j;
      best = get<16>(plane + first, n);
      index = Lanes<16>::kIota + static_cast<int32_t>(first);
    }
    for (int64_t i = kh.begin; i < kh.end; ++i) {
      const int64_t pixel = (top + i * rows.dilation) * w + j;
      const V16 v = get<16>(plane + pixel, n);
      const I16 take = (v > best) | (v != v);
      best = take ? v : best;
      index = take ? Lanes<16>::kIota + static_cast<int32_t>(pixel) : index;
    }
    put<16>(values + j, best, n);
    put_index<16>(at + j, index, n);
  }
}

// Columns come left to right, while the first of equal maxima and the last NaN count in row order:
// their positions decide.
template <class T>
void max_along(const PoolWindows& w, const float* values, const int32_t* at, T* y,
               int32_t* indices) {
  for (int64_t column = 0; column < w.out; column += 16) {
    const int64_t n = w.out - column < 16 ? w.out - column : 16;
    V16 best = splat(kLowest);
    I16 index = I16{} + kNowhere;
    for (int64_t k = 0; k < w.kernel; ++k) {
      const int64_t from = column * w.stride + k * w.dilation;
      const V16 v = load_strided(values + from, w.stride);
      const I16 i = load_strided(at + from, w.stride);
      const I16 nan = (v != v) & ((best == best) | (i > index));
      const I16 take = (v > best) | ((v == best) & (i < index)) | nan;
      best = take ? v : best;
      index = take ? i : index;
    }
    index = index == kNowhere ? I16{} - 1 : index;
    put<16>(y + column, best, n);
    put_index<16>(indices + column, index, n);
  }
}

template <class T>
void max_planes(const PoolShape& s, const T* x, T* y, int32_t* indices, float* line, int64_t begin,
                int64_t end) {
  const int64_t length = pool_line(s), pad = s.columns.pad;
  int32_t* at = reinterpret_cast<int32_t*>(line + length);
  for (int64_t i = 0; i < length; ++i) {
    line[i] = kLowest;
    at[i] = kNowhere;
  }
  for (int64_t task = begin; task < end; ++task) {
    const int64_t image = task / s.rows.out, row = task % s.rows.out;
    max_columns(s, x + image * s.rows.in * s.columns.in, row, line + pad, at + pad);
    max_along(s.columns, line, at, y + task * s.columns.out, indices + task * s.columns.out);
  }
}

template <class T>
void max_grad_planes(const PoolShape& s, const T* dy, const int32_t* indices, T* dx, float* sums,
                     int64_t begin, int64_t end) {
  const PoolWindows &rows = s.rows, &columns = s.columns;
  const int64_t w = columns.in, pixels = rows.in * w, outputs = rows.out * columns.out;
  const double inverse = 1.0 / static_cast<double>(w);
  for (int64_t image = begin; image < end; ++image) {
    for (int64_t i = 0; i < pixels; ++i) sums[i] = 0;
    for (int64_t row = 0; row < rows.out; ++row) {
      const int64_t top = row * rows.stride - rows.pad;
      for (int64_t column = 0; column < columns.out; ++column) {
        const int64_t o = image * outputs + row * columns.out + column;
        const int64_t index = indices[o];
        if (index < 0 || index >= pixels) continue;
        // Exact: the fraction is at least 1/2 away from the next multiple of w.
        const auto i = static_cast<int64_t>((static_cast<double>(index) + 0.5) * inverse);
        const int64_t down = i - top,
                      right = index - i * w - (column * columns.stride - columns.pad);
        const bool inside = down >= 0 && down <= (rows.kernel - 1) * rows.dilation && right >= 0 &&
                            right <= (columns.kernel - 1) * columns.dilation;
        if (inside && (rows.dilation == 1 || down % rows.dilation == 0) &&
            (columns.dilation == 1 || right % columns.dilation == 0)) {
          sums[index] += dy[o];
        }
      }
    }
    T* to = dx + image * pixels;
    int64_t i = 0;
    for (; i + 16 <= pixels; i += 16) store(to + i, load(sums + i));
    if (i < pixels) store_part(to + i, load_part(sums + i, pixels - i), pixels - i);
  }
}

template <class T>
void average_planes(const PoolShape& s, const T* x, T* y, float* line, int64_t begin, int64_t end) {
  const PoolWindows &rows = s.rows, &columns = s.columns;
  const int64_t w = columns.in, length = pool_line(s);
  for (int64_t i = 0; i < length; ++i) line[i] = 0;
  for (int64_t task = begin; task < end; ++task) {
    const int64_t image = task / rows.out, row = task % rows.out;
    const PoolRange kh = rows.taps[row];
    const int64_t top = image * rows.in + row * rows.stride - rows.pad;
    for (int64_t j = 0; j < w; j += 16) {
      const int64_t n = w - j < 16 ? w - j : 16;
      V16 sum{};
      for (int64_t i = kh.begin; i < kh.end; ++i) sum += get<16>(x + (top + i) * w + j, n);
      put<16>(line + columns.pad + j, sum, n);
    }
    for (int64_t column = 0; column < columns.out; column += 16) {
      const int64_t n = columns.out - column < 16 ? columns.out - column : 16;
      V16 sum{};
      for (int64_t k = 0; k < columns.kernel; ++k) {
        sum += load_strided(line + column * columns.stride + k, columns.stride);
      }
      sum *= get<16>(columns.share + column, n) * rows.share[row];
      put<16>(y + task * columns.out + column, sum, n);
    }
  }
}

template <class T>
void average_grad_planes(const PoolShape& s, const T* dy, T* dx, float* line, int64_t begin,
                         int64_t end) {
  const PoolWindows &rows = s.rows, &columns = s.columns;
  const int64_t length = pool_line(s), out = columns.out, stride = columns.stride;
  float* spread = line + length;
  for (int64_t task = begin; task < end; ++task) {
    const int64_t image = task / rows.in;
    const PoolRange oh = rows.covers[task % rows.in];
    for (int64_t column = 0; column < out; column += 16) {
      const int64_t n = out - column < 16 ? out - column : 16;
      V16 sum{};
      for (int64_t row = oh.begin; row < oh.end; ++row) {
        sum += get<16>(dy + (image * rows.out + row) * out + column, n) * rows.share[row];
      }
      put<16>(line + column, sum * get<16>(columns.share + column, n), n);
    }
    for (int64_t i = 0; i < length; ++i) spread[i] = 0;
    for (int64_t k = 0; k < columns.kernel; ++k) {
      for (int64_t column = 0; column < out; ++column) spread[column * stride + k] += line[column];
    }
    for (int64_t j = 0; j < columns.in; j += 16) {
      const int64_t n = columns.in - j < 16 ? columns.in - j : 16;
      put<16>(dx + task * columns.in + j, load(spread + columns.pad + j), n);
    }
  }
}

template <class T>
void global_planes(const PoolShape& s, const T* x, T* y, int64_t begin, int64_t end) {
  constexpr int64_t kRun = 16 * 128;
  const int64_t pixels = s.rows.in * s.columns.in;
  for (int64_t image = begin; image < end; ++image) {
    const T* source = x + image * pixels;
    double total = 0;
    for (int64_t p0 = 0; p0 < pixels; p0 += kRun) {
      const int64_t p1 = p0 + kRun < pixels ? p0 + kRun : pixels;
      V16 sum{};
      for (int64_t p = p0; p < p1; p += 16) sum += get<16>(source + p, p1 - p < 16 ? p1 - p : 16);
      float part = 0;
      for (int i = 0; i < 16; ++i) part += sum[i];
      total += part;
    }
    y[image] = T(static_cast<float>(total / static_cast<double>(pixels)));
  }
}

template <class T>
void global_grad_planes(const PoolShape& s, const T* dy, T* dx, int64_t begin, int64_t end) {
  const int64_t pixels = s.rows.in * s.columns.in;
  for (int64_t image = begin; image < end; ++image) {
    const T v(static_cast<float>(dy[image]) / static_cast<float>(pixels));
    T* to = dx + image * pixels;
    for (int64_t p = 0; p < pixels; ++p) to[p] = v;
  }
}

// ---- Entry points ----

bool few_channels(const PoolShape& s) { return s.channels < 16; }

template <class T>
void max(const PoolShape& s, const void* x, void* y, int32_t* indices, float* workspace,
         int threads) {
  on_threads(s.images * s.rows.out, threads, [&](int64_t begin, int64_t end, int64_t t) {
    const T* from = static_cast<const T*>(x);
    T* to = static_cast<T*>(y);
    if (s.channels == 1) {
      max_planes(s, from, to, indices, workspace + t * s.workspace, begin, end);
    } else if (few_channels(s)) {
      max_lanes<T, 8>(s, from, to, indices, begin, end);
    } else {
      max_lanes<T, 16>(s, from, to, indices, begin, end);
    }
  });
}

template <class T>
void max_grad(const PoolShape& s, const void* dy, const int32_t* indices, void* dx,
              float* workspace, int threads) {
  const int64_t tasks = s.channels == 1 ? s.images : s.images * s.rows.in;
  on_threads(tasks, threads, [&](int64_t begin, int64_t end, int64_t t) {
    const T* from = static_cast<const T*>(dy);
    T* to = static_cast<T*>(dx);
    if (s.channels == 1) {
      max_grad_planes(s, from, indices, to, workspace + t * s.workspace, begin, end);
    } else if (few_channels(s)) {
      max_grad_lanes<T, 8>(s, from, indices, to, begin, end);
    } else {
      max_grad_lanes<T, 16>(s, from, indices, to, begin, end);
    }
  });
}

template <class T>
void average(const PoolShape& s, const void* x, void* y, float* workspace, int threads) {
  on_threads(s.images * s.rows.out, threads, [&](int64_t begin, int64_t end, int64_t t) {
    const T* from = static_cast<const T*>(x);
    T* to = static_cast<T*>(y);
    if (s.channels == 1) {
      average_planes(s, from, to, workspace + t * s.workspace, begin, end);
    } else if (few_channels(s)) {
      average_lanes<T, 8>(s, from, to, begin, end);
    } else {
      average_lanes<T, 16>(s, from, to, begin, end);
    }
  });
}

template <class T>
void average_grad(const PoolShape& s, const void* dy, void* dx, float* workspace, int threads) {
  on_threads(s.images * s.rows.in, threads, [&](int64_t begin, int64_t end, int64_t t) {
    const T* from = static_cast<const T*>(dy);
    T* to = static_cast<T*>(dx);
    if (s.channels == 1) {
      average_grad_planes(s, from, to, workspace + t * s.workspace, begin, end);
    } else if (few_channels(s)) {
      average_grad_lanes<T, 8>(s, from, to, begin, end);
    } else {
      average_grad_lanes<T, 16>(s, from, to, begin, end);
    }
  });
}

template <class T>
void global(const PoolShape& s, const void* x, void* y, int threads) {
  on_threads(s.images, threads, [&](int64_t begin, int64_t end, int64_t) {
    const T* from = static_cast<const T*>(x);
    T* to = static_cast<T*>(y);
    if (s.channels == 1) {
      global_planes(s, from, to, begin, end);
    } else if (few_channels(s)) {
      global_lanes<T, 8>(s, from, to, begin, end);
    } else {
      global_lanes<T, 16>(s, from, to, begin, end);
    }
  });
}

template <class T>
void global_grad(const PoolShape& s, const void* dy, void* dx, int threads) {
  on_threads(s.images, threads, [&](int64_t begin, int64_t end, int64_t) {
    const T* from = static_cast<const T*>(dy);
    T* to = static_cast<T*>(dx);
    if (s.channels == 1) {
      global_grad_planes(s, from, to, begin, end);
    } else if (few_channels(s)) {
      global_grad_lanes<T, 8>(s, from, to, begin, end);
    } else {
      global_grad_lanes<T, 16>(s, from, to, begin, end);
    }
  });
}

template <class T>
PoolKernels kernels() {
  return {max<T>, max_grad<T>, average<T>, average_grad<T>, global<T>, global_grad<T>};
}

}  // namespace

PoolKernels pool_f32() { return kernels<float>(); }
PoolKernels pool_bf16() { return kernels<BFloat16>(); }

}  // namespace rutile::kernels::RUTILE_ISA
