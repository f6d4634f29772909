// SPDX-License-Identifier: Apache-2.0
// Pooling where the channels of a pixel lie together: vectors run over channels and every result is
// written once, gradients too: a pixel asks the windows that cover it.
#pragma once

#include <immintrin.h>

#include "rutile/kernels/cpu/isa/vec16.h"
#include "rutile/kernels/cpu/pool.h"

namespace rutile::kernels::RUTILE_ISA {
namespace {

#define RUTILE_INLINE inline __attribute__((always_inline))

constexpr float kLowest = -__builtin_inff();
constexpr int32_t kNowhere = INT32_MAX;  // the index of padding

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

}  // namespace
}  // namespace rutile::kernels::RUTILE_ISA
